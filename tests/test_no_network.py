"""The package uses no network by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# An audit hook sees what Python asks of the operating system, from whatever library.
WATCH = """
import importlib, json, pkgutil, runpy, sys, urllib.request
from pathlib import Path

attempts = []
LOCAL = ("127.", "::1", "localhost")


def refuse(event, arguments):
    kinds = ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto")
    if event.removeprefix("socket.") not in kinds or not event.startswith("socket."):
        return
    place = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments
    if isinstance(place, (str, bytes)):  # a file: the data loader's workers
        return
    host = "" if place[0] is None else str(place[0])
    if not host.startswith(LOCAL) and host:
        with Path(record).open("a") as file:  # processes of workers write it too
            file.write(f"{event} {host}\\n")
        raise OSError("the network is closed")


record, config, work_dir, image, *tools = sys.argv[1:]
sys.addaudithook(refuse)
try:
    urllib.request.urlopen("http://control.invalid", timeout=1)
except OSError:
    pass
"""
USE = """
import snnssl_mm

for module in pkgutil.walk_packages(snnssl_mm.__path__, "snnssl_mm."):
    if ".mim" not in module.name:
        importlib.import_module(module.name)
imported = len([name for name in sys.modules if name.startswith("snnssl_mm.")])

sys.argv = [tools[0], config, "--work-dir", work_dir]
runpy.run_path(tools[0], run_name="__main__")

from snnssl_mm.apis import extract_features

features = extract_features("spikformer-digits_ctl", image)
print(json.dumps({"imported": imported, "features": list(features.shape)}))
"""


@pytest.mark.slow
def test_imports_training_evaluation_and_features_stay_on_this_machine(
    tiny_config, scenes, tmp_path
):
    from mmengine.config import Config

    from snnssl_mm.datasets.digit_scenes import generate_digit_scenes

    root = generate_digit_scenes(scenes, num_train=64, num_test=32)
    image = next(root.glob("test/*/*.png"))
    cfg = Config.fromfile(tiny_config)
    cfg.train_dataloader.num_workers = 1
    cfg.train_cfg.max_epochs = 1
    cfg.dump(tiny_config)
    record, work_dir = tmp_path / "attempts.txt", tmp_path / "run"
    done = subprocess.run(
        [
            *(sys.executable, "-c", WATCH + USE, record, tiny_config, work_dir, image),
            ROOT / "tools" / "train.py",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},  # no cache of an earlier download
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["imported"] > 100
    assert result["features"] == [1, 64]
    assert len(json.loads((work_dir / "probes.json").read_text())["rows"]) == 6
    control, *attempts = record.read_text().splitlines()
    assert control == "socket.getaddrinfo control.invalid"
    assert attempts == []
