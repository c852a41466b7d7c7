"""Configs of pretraining without the hooks that they inherit."""

MONITORS = (
    *("keep_memory", "seeds", "non_finite", "collapse", "firing_rate"),
    *("health", "knn", "linear_probe"),
)


def without_monitors(cfg, **kept):
    """Remove the monitors from a config, but those that are given with settings."""
    cfg.default_hooks.update({**dict.fromkeys(MONITORS), **kept})
