"""snnssl zoo: models and their files; published files contain plain values."""

import hashlib

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.checkpoints import official, zoo
from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checkpoints.publishing import FORMATS
from snnssl_mm.checkpoints.stored_config import stored_config
from snnssl_mm.models import DualPathSSL, load_backbone


@pytest.fixture
def trained(tmp_path, tiny_config):
    """A checkpoint as Runner saves it, with tensors that are views of larger ones."""
    cfg = Config.fromfile(tiny_config)
    settings = cfg.model.to_dict()
    settings.pop("type")
    settings["neck"]["type"] = "mmpretrain.NonLinearNeck"
    model = DualPathSSL(**settings)
    shared = torch.zeros(1_000_000)
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    key = "module.backbone.stem.stages.0.conv.weight"
    shared[: state[key].numel()] = state[key].flatten()
    state[key] = shared[: state[key].numel()].view_as(state[key])
    file = tmp_path / "epoch_2.pth"
    meta = dict(
        epoch=2,
        seed=0,
        cfg=cfg.pretty_text + "\nwork_dir = '/home/somebody/secret'\n",
        hostname="here",
        dataset_meta=dict(classes=("0", "1")),
    )
    optimizer = dict(state={0: torch.zeros(100_000)})
    torch.save(dict(meta=meta, state_dict=state, optimizer=optimizer), file)
    return model, file


@pytest.mark.parametrize("kind", [None, *FORMATS])
def test_published_files_hold_weights_and_plain_values(
    run_tool, trained, tmp_path, capsys, kind
):
    model, file = trained
    out = tmp_path / "out"
    chosen = ("--format", kind) if kind else ()
    run_tool("zoo publish", file, "tiny", "--out-dir", out, *chosen)
    backbone, full = sorted(out.iterdir(), key=lambda f: f.stat().st_size)
    said = capsys.readouterr().out
    for published in (backbone, full):
        sha = hashlib.sha256(published.read_bytes()).hexdigest()
        assert published.stem.endswith(f"-{sha[:8]}")
        assert published.suffix == f".{kind or 'safetensors'}"
        assert f"{published} " in said
        assert sha in said
        assert b"secret" not in published.read_bytes()
        assert b"hostname" not in published.read_bytes()
        assert published.stat().st_size < 300_000, "no base tensors of views"
    if kind == "pth":
        assert torch.load(full, weights_only=True).keys() == {"meta", "state_dict"}
    content = read_checkpoint(full)
    assert content.keys() == {"meta", "state_dict"}
    assert content["meta"]["epoch"] == 2
    text = content["meta"]["cfg"].encode()
    assert content["meta"]["cfg_sha256"] == hashlib.sha256(text).hexdigest()
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert content["meta"]["source_sha256"] == sha
    assert "trained_on" in stored_config(content)
    assert content["meta"]["dataset_meta"] == {"classes": ["0", "1"]}
    assert content["state_dict"].keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(content["state_dict"][name], tensor)
    only = read_checkpoint(backbone)
    assert all(name.startswith("backbone.") for name in only["state_dict"])
    target = type(model.backbone)(
        arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1), stem="cifar"
    )
    assert "prefix 'backbone.'" in load_backbone(target, str(backbone))


def test_publishing_twice_gives_the_same_file(run_tool, trained, tmp_path):
    for _ in range(2):
        run_tool("zoo publish", trained[1], "tiny", "--out-dir", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_bad_input_is_refused(run_tool, trained, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*nowhere\.pth"):
        run_tool("zoo publish", tmp_path / "nowhere.pth", "tiny")
    with pytest.raises(SystemExit, match="^error: .*'a/b'"):
        run_tool("zoo publish", trained[1], "a/b")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "head.pth")
    with pytest.raises(SystemExit, match=r"^error: .*head\.pth.*'backbone\.'"):
        run_tool("zoo publish", tmp_path / "head.pth", "a", "--out-dir", tmp_path)


NAME = "spikformer-digits_ctl"  # its weights come with the package


def test_list_has_a_line_for_every_model(run_tool, capsys):
    run_tool("zoo list")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {line[0]: line for line in lines if line and zoo.is_name(line[0])}
    assert found.keys() == zoo.entries().keys() | official.entries().keys()
    assert found[NAME][1] == "selfsup"
    assert found[NAME][-1] == "installed"
    run_tool("zoo list", "*_5e")
    assert len(capsys.readouterr().out.split("selfsup")) == 2
    with pytest.raises(SystemExit, match=r"^error: .*'nothing\*'"):
        run_tool("zoo list", "nothing*")


def test_show_prints_the_entry(run_tool, capsys):
    run_tool("zoo show", NAME)
    printed = capsys.readouterr().out
    assert zoo.entries()[NAME].sha256 in printed
    assert "Weights: installed" in printed
    with pytest.raises(SystemExit, match=rf"{NAME}l.*{NAME}\b"):
        run_tool("zoo show", f"{NAME}l")


def test_get_copies_the_weights(run_tool, tmp_path, capsys):
    run_tool("zoo get", NAME)
    kept = capsys.readouterr().out.strip()
    out = (tmp_path / "new" / "file").with_suffix(zoo.find_weights(NAME).suffix)
    run_tool("zoo get", NAME, "--out", out)
    copied = capsys.readouterr().out.strip()
    assert copied == str(out)
    with pytest.raises(SystemExit, match=r"^error: .*other\.bin"):
        run_tool("zoo get", NAME, "--out", tmp_path / "other.bin")
    with pytest.raises(SystemExit, match=r"^error: .*--file"):
        run_tool("zoo get", NAME, "--file", kept)
    for file in (kept, copied):
        with open(file, "rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        assert digest == zoo.entries()[NAME].sha256


def test_what_has_no_weights_cannot_be_got(run_tool):
    without = next(name for name, entry in zoo.entries().items() if not entry.file)
    with pytest.raises(SystemExit, match=without):
        run_tool("zoo get", without)
