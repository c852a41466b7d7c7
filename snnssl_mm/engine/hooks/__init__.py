"""Hooks for mmengine's Runner: monitors, probes, seeds."""
