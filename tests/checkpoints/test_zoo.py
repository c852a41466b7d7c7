"""The model zoo: correct metafiles, verified weights."""

import hashlib
import json
import os
import time
from pathlib import Path

import mmengine.hub
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snnssl_mm.checkpoints import zoo
from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.models import Spikformer, load_backbone

ROOT = Path(__file__).parents[2]
FOLDERS = ("selfsup", "classification", "detection", "segmentation")
NAME = "spikformer-digits_ctl"
CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


def test_every_config_is_in_the_metafile_of_its_folder_once():
    index = yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"]
    assert index == [f"configs/{folder}/metafile.yml" for folder in FOLDERS]
    listed = []
    for metafile in index:
        content = yaml.safe_load((ROOT / metafile).read_text())
        collections = {collection["Name"] for collection in content["Collections"]}
        for model in content["Models"]:
            assert model["In Collection"] in collections
            assert Path(model["Config"]).parent == Path(metafile).parent
            listed.append(model["Config"])
    shipped = [
        str(f.relative_to(ROOT))
        for f in ROOT.glob("configs/[!_]*/*.py")
        if f.parent.name != "transfer"  # suites of models
    ]
    assert sorted(listed) == sorted(shipped)
    assert len(zoo.entries()) == len(listed), "names are unique"


@pytest.mark.parametrize("name", zoo.entries())
def test_metafile_says_what_the_config_does(name):
    entry = zoo.entries()[name]
    cfg = Config.fromfile(entry.config)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    assert (
        name.replace("-digits_", "_") == entry.config.stem or name == entry.config.stem
    )
    metadata = entry.meta["Metadata"]
    for key, module in (("Parameters", model), ("Backbone Parameters", model.backbone)):
        own = (p for n, p in module.named_parameters() if n[:8] != "teacher.")
        assert metadata[key] == sum(p.numel() for p in own)
    lengths = {"Iterations": "max_iters", "Epochs": "max_epochs"}
    expected = {k: cfg.train_cfg[v] for k, v in lengths.items() if v in cfg.train_cfg}
    assert {k: metadata[k] for k in lengths if k in metadata} == expected
    batch = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    assert metadata["Batch Size"] == (batch or cfg.train_dataloader.batch_size)
    assert entry.meta["In Collection"] == type(model.backbone).__name__


def test_results_are_those_of_the_files_that_the_metafiles_name():
    """Read results of tools/demo.py (a summary, with text) or tools/probe.py (rows)."""
    measures = {
        "k-NN Top 1 Accuracy": ("k-NN", "knn"),
        "Linear Probe Top 1 Accuracy": ("linear probe", "linear"),
    }
    checked = 0
    for entry in zoo.entries().values():
        for result in entry.meta["Results"] or []:
            report = json.loads((ROOT / result["Results File"]).read_text())
            config = entry.config.relative_to(zoo.index_file().parent)
            for metric, value in result["Metrics"].items():
                measure, probe = measures[metric]
                if "summary" in report:
                    assert report["config"] == str(config)
                    mean = report["summary"]["pretrained"][measure].split(" ± ")[0]
                    assert mean == str(value)
                else:
                    (row,) = (
                        row
                        for row in report["rows"]
                        if (row["probe"], row["start"]) == (probe, "pretrained")
                    )
                    assert row["config"] == str(config)
                    assert round(100 * row["top1"], 1) == value
                checked += 1
    assert checked >= 2


SHIPPED = [n for n in zoo.names_with_weights() if zoo.entries()[n].url is None]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_intact_small_and_plain(name):
    entry = zoo.entries()[name]
    assert entry.meta["Weights"] == f"snnssl_mm://{name}"
    assert entry.file == f"{name}-{entry.sha256[:8]}.safetensors"
    file = zoo.SHIPPED / entry.file
    assert file.stat().st_size < 3e6
    assert hashlib.sha256(file.read_bytes()).hexdigest() == entry.sha256
    content = read_checkpoint(file)
    assert content.keys() == {"meta", "state_dict"}
    assert "/" not in content["meta"]["cfg"], "no path of a machine"
    model = mmengine.hub.get_model(f"snnssl_mm::selfsup/{entry.config.name}")
    assert model.load_state_dict(content["state_dict"], strict=True)


def test_mmengine_loads_by_the_zoos_address():
    config = "snnssl_mm::selfsup/spikformer_ctl.py"
    expected = read_checkpoint(zoo.find_weights(NAME))["state_dict"]
    model = mmengine.hub.get_model(config, pretrained=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name])
    arch = dict(embed_dims=64, depth=1, num_heads=4)
    backbone = MODELS.build(
        dict(
            type="snnssl_mm.Spikformer",
            arch=arch,
            stem="cifar",
            init_cfg=dict(
                type="Pretrained", checkpoint=f"snnssl_mm://{NAME}", prefix="backbone."
            ),
        )
    )
    backbone.init_weights()
    other = Spikformer(arch, stem="cifar")
    assert "prefix 'backbone.'" in load_backbone(other, NAME)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, expected[f"backbone.{name}"])
        assert torch.equal(tensor, other.state_dict()[name])


@pytest.fixture
def published(tmp_path, monkeypatch):
    """An entry whose weights are not shipped: its cache folder, the file at its URL."""
    cache, source = tmp_path / "cache", tmp_path / "there.pth"
    source.write_bytes(CONTENT)
    entry = zoo.Entry("model", Path(), "model.pth", SHA, source.as_uri(), {})
    monkeypatch.setenv("SNNSSL_MM_ZOO", str(cache))
    monkeypatch.setattr(zoo, "entries", lambda: {"model": entry})
    return cache, source


def without_url(monkeypatch):
    entry = zoo.entries()["model"]._replace(url=None)
    monkeypatch.setattr(zoo, "entries", lambda: {"model": entry})


def test_weights_are_downloaded_once_and_found_in_the_cache(published):
    cache, source = published
    assert zoo.find_weights("snnssl_mm://model").read_bytes() == CONTENT
    source.unlink()
    assert zoo.find_weights("model") == cache / "model.pth"
    assert [file.name for file in cache.iterdir()] == ["model.pth"]


def test_the_package_comes_before_the_cache(published, monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/model.pth").write_bytes(CONTENT)
    assert zoo.find_weights("model").parent == tmp_path / "shipped"
    assert not published[0].exists()
    (tmp_path / "shipped/model.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"shipped/model\.pth"):
        zoo.find_weights("model")


@pytest.mark.parametrize("content", [CONTENT[:3], b"another file", b""])
def test_a_wrong_or_truncated_download_is_refused_and_leaves_nothing(
    published, content
):
    cache, source = published
    source.write_bytes(content)
    with pytest.raises(ValueError, match=source.as_uri()):
        zoo.find_weights("model")
    assert list(cache.iterdir()) == []


def test_a_failed_download_leaves_nothing_and_names_the_way_out(published):
    cache, source = published
    source.unlink()
    with pytest.raises(FileNotFoundError, match=rf"model\.pth.*{cache}"):
        zoo.find_weights("model")
    assert list(cache.glob("*")) == []


def test_a_wrong_file_in_the_cache_is_replaced_or_removed(published, monkeypatch):
    cache, _ = published
    cache.mkdir()
    (cache / "model.pth").write_bytes(CONTENT[:-1])
    assert zoo.find_weights("model").read_bytes() == CONTENT
    without_url(monkeypatch)
    (cache / "model.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match=str(cache / "model.pth")):
        zoo.find_weights("model")
    assert list(cache.iterdir()) == []
    with pytest.raises(FileNotFoundError, match=rf"model\.pth.*{cache}"):
        zoo.find_weights("model")


def test_what_a_killed_download_left_is_removed(published):
    cache, _ = published
    cache.mkdir()
    old, running = (cache / f".model.pth.{n}.part" for n in ("1", "2"))
    for file in (old, running):
        file.write_bytes(CONTENT[:2])
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    zoo.find_weights("model")
    assert sorted(file.name for file in cache.iterdir()) == [running.name, "model.pth"]


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("SNNSSL_MM_ZOO", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert zoo.cache_folder() == tmp_path / "snnssl_mm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert zoo.cache_folder() == tmp_path / ".cache/snnssl_mm"


def test_unknown_names_and_models_without_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"'nothing'.*{NAME}"):
        zoo.find_weights("snnssl_mm://nothing")
    with pytest.raises(ValueError, match=f"'spikformer-16-512_ctl_in1k'.*{NAME}"):
        zoo.find_weights("spikformer-16-512_ctl_in1k")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        load_backbone(Spikformer("4-384"), str(tmp_path / "nowhere.pth"))


def test_a_file_of_a_models_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.resolve(NAME).endswith(zoo.entries()[NAME].file)
    Path(NAME).touch()
    assert zoo.resolve(NAME) == NAME
