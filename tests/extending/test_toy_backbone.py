from pathlib import Path

from toy_backbone import ToyBackbone

from snnssl_mm.testing import check_backbone, train_one_step


def test_toy_backbone_keeps_the_invariants():
    check_backbone(ToyBackbone)


def test_toy_config_trains():
    assert train_one_step(Path(__file__).with_name("toy_ctl.py"))["loss"] > 0
