"""Loading a backbone: every prefix, and never in silence."""

import pytest
import torch
from mmengine.config import ConfigDict

from snnssl_mm.models import Spikformer, load_backbone

ARCH = dict(embed_dims=16, depth=1, num_heads=2)


@pytest.fixture
def source():
    torch.manual_seed(1)
    return Spikformer(ARCH)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone.", "encoder.x."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_any_prefix_loads_all_tensors(source, tmp_path, prefix, wrapper):
    state = {prefix + k: v for k, v in source.state_dict().items()}
    state["head.stem.stages.0.conv.weight"] = torch.zeros(1)  # a decoy
    file = str(tmp_path / "checkpoint.pth")
    torch.save({wrapper: state} if wrapper else state, file)
    target = Spikformer(ARCH)
    message = load_backbone(target, file)
    n = len(source.state_dict())
    assert f"loaded {n}/{n} backbone tensors" in message
    assert f"prefix {prefix!r}" in message
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_init_cfg_loads(source, tmp_path):
    file = str(tmp_path / "checkpoint.pth")
    torch.save(source.state_dict(), file)
    init_cfg = ConfigDict(type="snnssl_mm.BackboneInit", checkpoint=file)
    target = Spikformer(ARCH, init_cfg=init_cfg)
    target.init_weights()
    assert torch.equal(
        target.stem.stages[0].conv.weight, source.stem.stages[0].conv.weight
    )


def test_misfit_stops_and_changes_nothing(source, tmp_path):
    state = source.state_dict()
    del state["blocks.0.mlp.1.bn.bias"]
    state["stem.stages.0.conv.weight"] = torch.zeros(5, 3, 3, 3)
    file = str(tmp_path / "checkpoint.pth")
    torch.save(state, file)
    target = Spikformer(ARCH)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"2 of \d+ tensors do not match.*\(5, 3, 3, 3\)"
    ):
        load_backbone(target, file)
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())
    n = len(state)
    assert f"loaded {n - 1}/{n + 1}" in load_backbone(target, file, strict=False)


def test_checkpoint_that_fits_nothing(source, tmp_path):
    file = str(tmp_path / "other.pth")
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, file)
    with pytest.raises(ValueError, match="does not fit Spikformer.*stem.stages.0"):
        load_backbone(source, file)
