"""Safetensors files: read wherever a checkpoint is, written with their origin."""

import io
import json

import pytest
import safetensors
import safetensors.torch
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import load_checkpoint

from snnssl_mm.checkpoints import reading, safetensors_files
from snnssl_mm.checkpoints.given_weights import compare_weights, given_weights
from snnssl_mm.checkpoints.loading import load_backbone, read_checkpoint
from snnssl_mm.checkpoints.publishing import pack_safetensors, packing
from snnssl_mm.checkpoints.read_once import files_kept
from snnssl_mm.models import Spikformer

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)
BACKBONE = dict(type="snnssl_mm.Spikformer", arch=ARCH)
CFG = f"model = dict(backbone={BACKBONE!r})"


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return Spikformer(ARCH)


@pytest.fixture
def file(tmp_path, trained):
    """A published backbone."""
    state = {f"backbone.{k}": v for k, v in trained.state_dict().items()}
    file = tmp_path / "backbone.safetensors"
    file.write_bytes(packing(file)(state, {"cfg": CFG, "epoch": 3}))
    return file


def test_any_tensors_come_back_as_they_were():
    base = torch.arange(24.0).reshape(2, 3, 4)
    state = {
        "view": base[1],
        "transposed": base.mT,
        "again": base,
        "channels last": torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "counter": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    meta = {"seed": 0, "classes": ("a", "b"), "loss": float("inf"), "äöü": None}
    content = pack_safetensors(state, meta)
    found = reading.load(io.BytesIO(content))
    assert found["meta"] == {**meta, "classes": ["a", "b"]}
    assert_same(found["state_dict"], state)
    found["state_dict"]["view"].add_(1)  # memory of its own, which may be written
    assert pack_safetensors(dict(reversed(state.items())), meta) == content


def test_the_library_reads_what_is_written(file, trained):
    with safetensors.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
        found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    assert metadata["format"] == "pt"
    assert json.loads(metadata[safetensors_files.META])["epoch"] == 3
    expected = {f"backbone.{k}": v for k, v in trained.state_dict().items()}
    assert_same(found, expected)
    assert_same(safetensors.torch.load_file(file), expected)


def test_files_of_others_are_read(tmp_path, trained):
    other = tmp_path / "model.safetensors"
    safetensors.torch.save_file(trained.state_dict(), other, {"format": "pt"})
    found = read_checkpoint(other)
    assert found["meta"] == {}
    assert_same(found["state_dict"], trained.state_dict())
    new = Spikformer(ARCH)
    assert "loaded" in load_backbone(new, other)
    assert_same(new.state_dict(), trained.state_dict())


def test_the_content_decides_not_the_name(tmp_path, file):
    renamed = file.rename(tmp_path / "backbone.pth")
    assert "loaded" in load_backbone(Spikformer(ARCH), renamed)


def test_loading_is_as_strict_as_of_other_files(file):
    with pytest.raises(ValueError, match="does not fit"):
        load_backbone(Spikformer({**ARCH, "depth": 2}), file)
    with pytest.raises(ValueError, match="v_threshold"):
        load_backbone(Spikformer(ARCH, neuron=dict(v_threshold=0.5)), file)


def test_a_file_that_is_read_several_times_is_shared(file):
    with files_kept():
        first, second = reading.load(str(file)), reading.load(str(file))
    name = "backbone.stem.stages.0.conv.weight"
    assert first["state_dict"] is not second["state_dict"]
    first, second = (one["state_dict"][name].data_ptr() for one in (first, second))
    assert first == second


@pytest.mark.parametrize("prefix", ["backbone.", None])
def test_stock_segmentors_load_it_by_mmengines_pretrained(file, trained, prefix):
    """mmengine's own loader, which knows nothing of the format."""
    init_default_scope("mmseg")
    backbone = dict(BACKBONE, out_indices=(3,))
    given = dict(type="Pretrained", checkpoint=str(file))
    head = dict(type="FCNHead", in_channels=16, channels=4, num_classes=2, in_index=0)
    cfg = dict(type="EncoderDecoder", backbone=backbone, decode_head=head)
    if prefix:
        backbone["init_cfg"] = dict(given, prefix=prefix)
    else:
        cfg["init_cfg"] = given
    model = MODELS.build(cfg)
    (one,) = given_weights({}, model)
    assert compare_weights(one, model, {"model": cfg}).problem is None
    model.init_weights()
    assert_same(model.backbone.state_dict(), trained.state_dict())


def test_mmengines_load_checkpoint_reads_it(file, trained):
    new = Spikformer(ARCH)
    load_checkpoint(new, str(file), revise_keys=[(r"^backbone\.", "")], strict=True)
    assert_same(new.state_dict(), trained.state_dict())


def test_an_edited_config_is_noticed(file):
    """It decides what the network computes."""
    content = file.read_bytes()
    file.write_bytes(content.replace(b"embed_dims", b"embed_dimz"))
    with pytest.raises(ValueError, match=r"backbone\.safetensors.*SHA-256"):
        read_checkpoint(file)


def test_code_in_the_config_of_mmcv_is_left_out(tmp_path, trained):
    file = tmp_path / "a.safetensors"
    content = pack_safetensors(trained.state_dict(), {"config": "import os"})
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="config"):
        assert read_checkpoint(file)["meta"] == {}
