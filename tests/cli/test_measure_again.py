"""Numbers of an earlier measurement are shown for the same config and images only."""

import json
import shutil

import pytest
from mmengine.config import Config

from snnssl_mm.probing.labelled_folder import with_labelled_folder


@pytest.mark.parametrize("kind", ["energy", "firing-rates", "health"])
def test_changed_configs_and_images_are_measured_again(
    run_tool, tiny_config, checkpoint, pets, tmp_path, kind
):
    own, out = tmp_path / "own.py", tmp_path / "rows.json"
    cfg = with_labelled_folder(Config.fromfile(tiny_config), pets)
    cfg.dump(own)

    def measured():
        run_tool("measure", kind, own, checkpoint, "--images", 4, "--out", out)
        (row,) = json.loads(out.read_text())["rows"]
        return row

    first = measured()
    assert measured() == first
    cfg.model.backbone.time_steps = 2
    cfg.dump(own)
    shorter = measured()
    assert shorter["digest"] != first["digest"]
    images = sorted(pets.rglob("test/*/*.png"))
    shutil.copyfile(images[0], images[-1])  # another time of the last change
    assert measured()["digest"] not in (first["digest"], shorter["digest"])
