"""Rows of the results file of ``snnssl transfer``, with chosen scores."""


def transfer_row(task, entry, seed, fraction=1.0, curve=(), **metrics):
    """Return a row of the results file of snnssl transfer."""
    is_baseline = entry in ("random", "pixels")
    return {
        "suite": "digits",
        "task": task,
        "entry": entry,
        "checkpoint": None if is_baseline else f"{entry}.pth",
        "sha256": None if is_baseline else "0123456789ab",
        "seed": seed,
        "fraction": fraction,
        "labelled_images": round(400 * fraction),
        "metrics": metrics,
        "curve": list(curve),
        "seconds": 12.0,
        "threads": 1,
        "config": f"{task}.py",
        "digest": "feedfacebeef",
        "command": f"snnssl transfer {entry}.pth",
    }
