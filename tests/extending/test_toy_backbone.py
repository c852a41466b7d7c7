from pathlib import Path

from toy_backbone import ToyBackbone

from snnssl_mm.testing import check_backbone, train_one_step


def test_toy_backbone_keeps_the_invariants():
    check_backbone(ToyBackbone)


def test_toy_config_trains_without_log_lines(capfd):
    assert train_one_step(Path(__file__).with_name("toy_ctl.py"))["loss"] > 0
    assert "INFO" not in "".join(capfd.readouterr())
