"""Registration function that ``mmengine.hub.get_model`` expects in this module."""

from __future__ import annotations

from datetime import UTC, datetime

from mmengine.registry import DefaultScope

from snnssl_mm import compat


def register_all_modules(init_default_scope: bool = True) -> None:
    """Apply the workarounds; register the modules of this package and of mmpretrain.

    Args:
        init_default_scope: Whether to make mmpretrain the default scope, as in the
            configs of pretraining and classification.
    """
    compat.apply()
    from mmpretrain.utils import register_all_modules as register_mmpretrain

    import snnssl_mm.datasets
    import snnssl_mm.engine
    import snnssl_mm.models  # noqa: F401

    register_mmpretrain(init_default_scope=False)
    current = DefaultScope.get_current_instance()
    if init_default_scope and (current is None or current.scope_name != "mmpretrain"):
        name = f"mmpretrain-{datetime.now(UTC)}"  # instance names must be unique
        DefaultScope.get_instance(name, scope_name="mmpretrain")
