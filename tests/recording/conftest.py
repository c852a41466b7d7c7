"""Fixtures of the recordings' tests."""

from small_networks import backbone  # noqa: F401  (a fixture)
