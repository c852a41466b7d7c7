"""Addresses on Hugging Face's hub, without its network."""

import http.server
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS

from snnssl_mm.checkpoints import hub
from snnssl_mm.checkpoints.given_weights import compare_weights, given_weights
from snnssl_mm.checkpoints.loading import load_backbone, read_checkpoint
from snnssl_mm.checkpoints.publishing import pack_safetensors
from snnssl_mm.models import Spikformer
from snnssl_mm.recording.provenance import provenance
from snnssl_mm.recording.results_file import file_sha

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)
ADDRESS = "hf://somebody/spiking-net"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_addresses_are_read():
    plain = hub.Address("somebody/spiking-net", None, None)
    assert hub.parse(ADDRESS) == plain
    assert hub.parse(f"{ADDRESS}/a/b.pth") == plain._replace(file="a/b.pth")
    assert hub.parse(f"{ADDRESS}@v1.0") == plain._replace(revision="v1.0")
    assert hub.parse(f"{ADDRESS}@{COMMIT}/b.pth") == plain._replace(
        revision=COMMIT, file="b.pth"
    )
    for wrong in ("hf://somebody", "hf:///a/b", "hf://a b/c", "somebody/name", "hf://"):
        with pytest.raises(ValueError, match="owner/name"):
            hub.parse(wrong)


def test_the_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"hf://.*pip install huggingface_hub"):
        read_checkpoint(ADDRESS)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    state = {f"backbone.{k}": v for k, v in Spikformer(ARCH).state_dict().items()}
    file = tmp_path / "backbone.safetensors"
    file.write_bytes(pack_safetensors(state, {}))
    return file


@pytest.fixture
def library(monkeypatch, tmp_path, weights):
    """A stand-in for huggingface_hub: a repository's files, and what was asked for."""
    asked, names = [], [weights.name, "README.md"]

    def hf_hub_download(repository, name, revision=None):
        asked.append((repository, name, revision))
        if name not in names:
            raise RuntimeError("404 Client Error\nEntry Not Found")
        return str(tmp_path / name)

    def list_repo_files(repository, revision=None):
        return names

    api = SimpleNamespace(list_repo_files=list_repo_files)
    module = SimpleNamespace(hf_hub_download=hf_hub_download, HfApi=lambda: api)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return names, asked


def test_every_way_of_giving_weights_takes_an_address(library, weights):
    backbone = Spikformer(ARCH)
    assert ADDRESS in load_backbone(backbone, ADDRESS)
    expected = backbone.state_dict()
    settings = dict(type="snnssl_mm.Spikformer", arch=ARCH)
    for init_cfg in (
        dict(type="snnssl_mm.BackboneInit", checkpoint=ADDRESS),
        dict(type="Pretrained", checkpoint=f"{ADDRESS}@v1", prefix="backbone."),
    ):
        model = MODELS.build(dict(settings, init_cfg=init_cfg))
        (given,) = given_weights({}, model)
        assert not given.remote
        assert compare_weights(given, model, {}).problem is None
        model.init_weights()
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected[name])
    _, asked = library
    assert ("somebody/spiking-net", weights.name, "v1") in asked
    assert provenance("a.py", ADDRESS, {})["sha256"] == file_sha(weights)


def test_a_repositorys_only_checkpoint_is_chosen(library):
    names, asked = library
    names += ["model.pth", "old/model.bin"]
    read_checkpoint(ADDRESS)
    assert asked[-1][1] == "backbone.safetensors"
    names += ["other.safetensors"]
    with pytest.raises(ValueError, match=r"backbone\.safetensors, other\.safetensors"):
        read_checkpoint(ADDRESS)
    read_checkpoint(f"{ADDRESS}/backbone.safetensors")
    names[:] = ["README.md"]
    with pytest.raises(ValueError, match=r"README\.md"):
        read_checkpoint(ADDRESS)


def test_errors_of_the_library_name_the_address(library):
    with pytest.raises(OSError, match=rf"{ADDRESS}/none\.pth: 404 Client Error;"):
        read_checkpoint(f"{ADDRESS}/none.pth")


class Hub(http.server.BaseHTTPRequestHandler):
    """The answers that huggingface_hub needs: a repository's files, and one file."""

    content = b""

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body):
        path = self.path.partition("?")[0]
        if path.endswith("/backbone.safetensors"):
            content, kind = self.content, "application/octet-stream"
        elif path.startswith("/api/models/somebody/spiking-net/tree"):
            entry = dict(type="file", path="backbone.safetensors", oid="1", size=1)
            content, kind = json.dumps([entry]).encode(), "application/json"
        elif path.startswith("/api/models/somebody/spiking-net"):
            found = dict(id="somebody/spiking-net", sha=COMMIT)
            found["siblings"] = [dict(rfilename="backbone.safetensors")]
            content, kind = json.dumps(found).encode(), "application/json"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"1"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


READ = """
import sys
from snnssl_mm.checkpoints.loading import read_checkpoint

print(len(read_checkpoint(sys.argv[1])["state_dict"]))
try:
    read_checkpoint(sys.argv[1] + "/none.pth")
except OSError as error:
    print(error)
"""


def test_the_library_itself_against_a_server_on_this_machine(weights, tmp_path):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    kind = type("Handler", (Hub,), {"content": weights.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        known = dict(HF_ENDPOINT=address, HF_HOME=str(tmp_path), HF_HUB_DISABLE_XET="1")
        out = subprocess.run(
            [sys.executable, "-c", READ, ADDRESS],
            env={**os.environ, **known, "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        server.shutdown()
    count, error = out.splitlines()
    assert int(count) == len(Spikformer(ARCH).state_dict())
    assert "none.pth" in error
