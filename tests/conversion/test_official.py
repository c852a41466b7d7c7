"""Official weights: converted, verified, refused if they are of another network."""

import hashlib
import http.server
import threading
from argparse import Namespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from source_networks import OfficialSEW, OfficialSpikformer

from snnssl_mm.checkpoints import official, zoo
from snnssl_mm.checkpoints.loading import load_backbone, read_checkpoint
from snnssl_mm.checkpoints.preprocessing import preprocessing
from snnssl_mm.checkpoints.stored_config import (
    stored_backbone,
    stored_config,
    stored_model,
)
from snnssl_mm.conversion import LAYOUTS, convert
from snnssl_mm.conversion.model_config import model_tensors
from snnssl_mm.conversion.official import config, get, has
from snnssl_mm.conversion.structure import build, function_of, stored_settings
from snnssl_mm.models import SpikingResNet
from snnssl_mm.testing import randomize_norms

NAMES = list(official.entries())
EVALUATED = {
    name: official.entries()[entry.meta["Official Weights"]]
    for name, entry in zoo.entries().items()
    if "Official Weights" in entry.meta
}
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(5))
NEURON = dict(tau=float("inf"), surrogate="atan")
TINY = official.Official(
    name="tiny_official_in1k",
    source="somebody/sew",
    repository="https://nowhere/sew",
    paper="https://nowhere/paper",
    license=None,
    family="SpikingResNet",
    layouts=["sew-official"],
    time_steps=3,
    settings={"depth": 18, "base_channels": 16},
    page="https://nowhere/page",
)
OTHER = TINY._replace(name="small_official_in1k", settings={"depth": 34})


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_converts_to_the_backbone_that_it_names(name):
    """All shapes of the backbone, in each layout that the file may have."""
    entry = official.entries()[name]
    for layout in entry.layouts:
        settings = {**LAYOUTS[layout].settings, **entry.settings}
        with torch.device("meta"):
            state = build(entry.family, settings).state_dict()
        stored = dict(type=entry.family, **settings)
        theirs = convert(state, layout, stored=stored).state
        found = convert({"state_dict": theirs})
        assert found.source == layout
        assert found.family == entry.family
        assert found.complete
        assert has(found.settings, entry.settings)
        assert {k: v.shape for k, v in found.state.items()} == {
            k: v.shape for k, v in state.items()
        }


def test_the_list_is_complete_and_says_what_it_does_not_know():
    assert len(NAMES) >= 19
    assert not set(NAMES) & zoo.entries().keys()
    places = [
        entry.url or (entry.page, entry.file) for entry in official.entries().values()
    ]
    assert len(set(places)) == len(places)
    for name, entry in official.entries().items():
        assert name.endswith("_in1k")
        assert "official" in name
        assert (entry.url is None) != (entry.page is None)
        assert (entry.top1 is None) == (entry.top1_from is None)
        assert entry.top1 is None or 50 < entry.top1 < 90
        assert entry.sha256 is None or len(entry.sha256) == 64
        for address in (entry.url or entry.page, entry.repository, entry.paper):
            assert address.startswith("https://")
        assert entry.repository.endswith(entry.source)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The authors' small network; entries for it, and for its larger sister."""
    monkeypatch.setenv("SNNSSL_MM_ZOO", str(tmp_path / "cache"))
    listed = {entry.name: entry for entry in (TINY, OTHER)}
    monkeypatch.setattr(official, "entries", lambda: listed)
    monkeypatch.setattr("snnssl_mm.conversion.official.entries", lambda: listed)
    torch.manual_seed(0)
    return randomize_norms(OfficialSEW().eval())


def saved(file, net):
    """A checkpoint as a training script writes it."""
    file.parent.mkdir(exist_ok=True)
    torch.save({"model": net.state_dict(), "args": Namespace(lr=0.1)}, file)
    return file


def at(entry, file, **more):
    """The entry with an address."""
    return entry._replace(url=file.as_uri(), page=None, **more)


def sha(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@torch.no_grad()
def test_a_download_is_converted_verified_and_found_by_name(tiny, tmp_path):
    source = saved(tmp_path / "there" / "sew.pth", tiny)
    entry = at(TINY, source, sha256=sha(source))
    file, _ = get(entry)
    assert file == entry.converted
    source.unlink()
    assert get(entry)[0] == file  # from the cache
    content = read_checkpoint(TINY.name)
    assert content["meta"]["source"] == source.as_uri()
    assert content["meta"]["source_sha256"] == entry.sha256
    assert content["meta"]["license"] == "none stated"
    assert preprocessing(stored_config(content)) == official.IMAGENET
    config = stored_backbone(content)
    assert config["time_steps"] == TINY.time_steps
    backbone = MODELS.build({**config, "time_readout": "none"}).eval()
    assert f"from {zoo.SCHEME}{TINY.name} " in load_backbone(
        backbone, zoo.SCHEME + TINY.name
    )
    expected = tiny.features(IMAGE, TINY.time_steps)
    assert expected.any()
    assert torch.equal(backbone(IMAGE)[-1], expected)


@torch.no_grad()
def test_the_classifier_is_kept_with_its_config(tiny, tmp_path):
    """The file's config builds a model with the logits of the source."""
    file, _ = get(TINY, saved(tmp_path / "sew.pth", tiny))
    content = read_checkpoint(file)
    model = MODELS.build(stored_model(content)).eval()
    model.load_state_dict(content["state_dict"])
    rates = tiny.features(IMAGE, TINY.time_steps).mean((0, -2, -1))
    logits = model.head(model.extract_feat(IMAGE))
    torch.testing.assert_close(logits, tiny.fc(rates))
    assert (logits - tiny.fc.bias).abs().max() > 0.01


def test_a_file_without_classifier_gives_the_backbone(tiny, tmp_path):
    del tiny.fc
    file, found = get(TINY, saved(tmp_path / "sew.pth", tiny))
    assert found.classifier == {}
    assert all(
        name.startswith("backbone.") for name in read_checkpoint(file)["state_dict"]
    )


@pytest.mark.parametrize("name", EVALUATED)
def test_configs_evaluate_the_official_weights_that_they_name(name):
    """The same backbone with the same neuron and time steps, and their classifier."""
    entry = EVALUATED[name]
    layout = LAYOUTS[entry.layouts[0]]
    cfg = Config.fromfile(zoo.entries()[name].config).model
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(cfg)
        settings = {**layout.settings, **entry.settings}
        state = build(entry.family, settings).state_dict()
    theirs = convert(state, entry.layouts[0]).state
    classifier = model.head.state_dict()
    for their_name, our_name in layout.classifier:
        for kind in ("weight", "bias"):
            if (tensor := classifier.get(our_name.replace("*", kind))) is not None:
                theirs[their_name.replace("*", kind)] = tensor
    found = convert(theirs, keep_head=None)
    model.load_state_dict(model_tensors(found), assign=True)
    stored = config(entry, found)
    assert stored["backbone"]["time_steps"] == cfg.backbone.time_steps
    functions = [
        function_of(entry.family, stored_settings(backbone))
        for backbone in (stored["backbone"], cfg.backbone)
    ]
    assert functions[0] == functions[1]
    with torch.device("meta"):
        head = MODELS.build(stored).head
    assert type(head) is type(model.head)
    neurons = [getattr(h.neuron, "config", None) for h in (head, model.head)]
    assert neurons[0] == neurons[1]


def test_a_downloaded_file_is_given(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{TINY.page}.*{TINY.name} --file"):
        get(TINY)
    with pytest.raises(FileNotFoundError, match=f"zoo get {TINY.name}"):
        read_checkpoint(TINY.name)
    file, found = get(TINY, saved(tmp_path / "sew.pth", tiny))
    assert found.heads == []
    assert found.classifier.keys() == {"fc.weight", "fc.bias"}
    assert TINY.name in str(file)
    model = SpikingResNet(18, "sew", base_channels=16, neuron=NEURON)
    assert "loaded" in load_backbone(model, TINY.name)
    with pytest.raises(ValueError, match="shortcut"):
        load_backbone(SpikingResNet(18, "spiking", base_channels=16), TINY.name)


def wrong_files(folder, net):
    right = saved(folder / "right.pth", net)
    yield "another size", OTHER, right, TINY.name
    (folder / "cut.pth").write_bytes(right.read_bytes()[:-100])
    yield "cut off", TINY, folder / "cut.pth", "cut off"
    (folder / "page.pth").write_text("\n <!DOCTYPE html><title>Google Drive</title>")
    yield "web page", TINY, folder / "page.pth", "web page"
    partial = folder / "partial.pth"
    state = net.state_dict()
    state.pop("layer2.0.conv1.module.0.weight")
    torch.save(state, partial)
    yield "a tensor is missing", TINY, partial, r"layer2\.0\.conv1"
    other = folder / "spikformer.pth"
    torch.save(OfficialSpikformer("imagenet", 16, 1, 2).state_dict(), other)
    yield "another network", TINY, other, "spikformer-imagenet"
    converted = folder / "ours.pth"
    torch.save({"fc.weight": torch.zeros(3)}, converted)
    yield "no network", TINY, converted, TINY.name


def test_other_files_are_refused_by_name(tiny, tmp_path):
    for kind, entry, file, message in wrong_files(tmp_path, tiny):
        with pytest.raises(ValueError, match=message) as error:
            get(entry, file)
        assert str(file) in str(error.value), kind
        assert file.exists(), "the user's file is kept"
        with pytest.raises(ValueError, match=message):
            get(at(entry, file))
        assert not at(entry, file).downloaded.exists(), kind
        assert not entry.converted.exists()


def test_another_sha_is_refused(tiny, tmp_path):
    file = saved(tmp_path / "sew.pth", tiny)
    entry = at(TINY, file, sha256="0" * 64)
    for given in (None, file):
        with pytest.raises(ValueError, match=rf"{file}.*SHA-256"):
            get(entry, given)
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_without_a_network_the_way_out_is_named(tiny, tmp_path):
    nowhere = at(TINY, tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match=rf"nowhere\.pth.*{TINY.name} --file"):
        get(nowhere)
    assert not list((tmp_path / "cache").rglob("*.*"))


@pytest.fixture
def server():
    """A server on this machine whose answers a test chooses: bytes and headers."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content, headers = answers[self.path]
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", answers
        found.shutdown()


def test_downloads_are_complete_or_absent(tiny, tmp_path, server):
    address, answers = server
    content = saved(tmp_path / "sew.pth", tiny).read_bytes()
    length = {"Content-Length": str(len(content))}
    answers["/whole/sew.pth?download=1"] = content, length
    answers["/cut/sew.pth"] = content[:-9], length
    answers["/page/sew.pth"] = b"<html>", {"Content-Type": "text/html"}
    for path, message in (("cut/sew.pth", "bytes"), ("page/sew.pth", "web page")):
        entry = TINY._replace(url=f"{address}/{path}", page=None)
        with pytest.raises(ValueError, match=rf"{address}/{path}.*{message}"):
            get(entry)
        assert not list((tmp_path / "cache").rglob("*.*"))
    file, _ = get(TINY._replace(url=f"{address}/whole/sew.pth?download=1", page=None))
    assert file.is_file()


def test_the_command_says_where_to_click_and_what_it_made(
    tiny, tmp_path, run_tool, capsys
):
    with pytest.raises(SystemExit, match=rf"^error: .*{TINY.page}.*--file FILE"):
        run_tool("zoo get", TINY.name)
    given = saved(tmp_path / "sew.pth", tiny)
    copy = tmp_path / "copy.safetensors"
    run_tool("zoo get", TINY.name, "--file", given, "--out", copy)
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == str(copy)
    assert "snnssl_mm.SpikingResNet" in said
    assert copy.read_bytes() == TINY.converted.read_bytes()
    run_tool("zoo get", TINY.name)
    assert capsys.readouterr().out.strip() == str(TINY.converted)
    run_tool("zoo show", TINY.name)
    assert "weights: cached" in capsys.readouterr().out
    run_tool("zoo list", "tiny*")
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[-2:-1]]
