"""Hooks of mmengine's Runner: monitors, probes, seeds."""
