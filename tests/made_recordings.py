"""Recordings that tests make: random ones, and folders of them."""

import numpy as np

from snnssl_mm.datasets import EVENT, Recording, write_events


def made_recording(number=200, height=34, width=34, seed=0, start=0, end=300_000):
    """Draw events uniformly; times are from ``start`` to before ``end``."""
    rng = np.random.default_rng(seed)
    events = np.empty(number, EVENT)
    events["x"] = rng.integers(0, width, number)
    events["y"] = rng.integers(0, height, number)
    events["p"] = rng.integers(0, 2, number)
    events["t"] = np.sort(rng.integers(start, end, number))
    return Recording(events, height, width)


def write_recordings(folder, names, format=None, **made):
    """Write different recordings below a folder; return them by name."""
    found = {}
    for seed, name in enumerate(names):
        found[name] = made_recording(seed=seed, **made)
        write_events(folder / name, found[name], format)
    return found
