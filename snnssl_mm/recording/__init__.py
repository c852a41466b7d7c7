"""Numbers of a network or a run: spikes, operations, energy, health, results."""

from importlib import import_module
from typing import Any

HOMES = {
    "ACCOUNTINGS": "energy",
    "CONSTANTS": "energy",
    "LayerOperations": "operations",
    "OperationCounter": "operations",
    "recorded_spikes": "spike_recording",
}
__all__ = [
    "ACCOUNTINGS",
    "CONSTANTS",
    "LayerOperations",
    "OperationCounter",
    "recorded_spikes",
]


def __getattr__(name: str) -> Any:
    """Import a public name on use; the command's parsers must not import torch."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
