"""Conformance tests of backbones and configs, of this package and of others.

They need no test framework::

    from snnssl_mm.testing import check_backbone, train_one_step

    check_backbone(MyBackbone)  # AssertionError with the violated invariant
    train_one_step("my_config.py")
"""

from snnssl_mm.testing.backbones import check_backbone
from snnssl_mm.testing.configs import train_one_step
from snnssl_mm.testing.invariants import INVARIANTS
from snnssl_mm.testing.subject import randomize_norms

__all__ = ["INVARIANTS", "check_backbone", "randomize_norms", "train_one_step"]
