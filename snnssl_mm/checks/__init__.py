"""Checks of configs and data before the first iteration."""
