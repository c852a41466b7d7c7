"""Removal of inherited hooks from pretraining configs."""

MONITORS = (
    *("keep_memory", "seeds", "non_finite", "collapse", "firing_rate"),
    *("health", "knn", "linear_probe"),
)


def without_monitors(cfg, **kept):
    """Remove the monitors from a config, except those given with settings."""
    cfg.default_hooks.update({**dict.fromkeys(MONITORS), **kept})
