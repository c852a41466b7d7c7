"""Curves of a run, also of one that was resumed."""

import json
import re

import pytest
from matplotlib.image import imread

from snnssl_mm.analysis.plots.training_curves import epochs_of, plot_training, read_log


def write_log(folder, steps, per_epoch):
    file = folder / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    rows = [
        dict(step=s, epoch=(s - 1) // per_epoch + 1, loss=1 / s, on_diagonal=0.6 / s)
        | dict(off_diagonal=0.4 / s, firing_rate=0.1)
        for s in steps
    ]
    rows.append({"knn/pretrained": 0.5, "step": 1})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_resumed_run_is_one_run_and_the_later_values_count(tmp_path):
    write_log(tmp_path / "20260101_000000", range(1, 8), per_epoch=5)
    write_log(tmp_path / "20260101_000100", range(6, 11), per_epoch=5)
    rows = read_log(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert epochs_of(rows) == pytest.approx([s / 5 for s in range(1, 11)])


@pytest.mark.parametrize("probes", [True, False])
def test_picture_is_drawn_with_and_without_labels(tmp_path, probes):
    write_log(tmp_path / "20260101_000000", range(1, 8), per_epoch=5)
    if probes:
        row = dict(probe="k-NN", epoch=1, pretrained=0.5, random_init=0.2)
        rows = [row | dict(raw_pixels=0.3)]
        (tmp_path / "probes.json").write_text(json.dumps(rows))
    picture = imread(plot_training(tmp_path, tmp_path / "out" / "curves.png"))
    assert picture[..., :3].std() > 0.05


@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
@pytest.mark.parametrize("epoch", [{}, {"epoch": 1}], ids=["iterations", "epochs"])
def test_runs_of_other_losses_are_drawn(tmp_path, epoch, sign):
    file = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    rows = [dict(step=step, loss=sign / step, **epoch) for step in (1, 2, 3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    picture = imread(plot_training(tmp_path, tmp_path / "curves.png"))[..., :3]
    curves = picture[:, : picture.shape[1] // 3]  # the left panel
    assert (curves.max(-1) - curves.min(-1) > 0.2).sum() > 100, "coloured pixels"


def test_a_line_that_a_killed_run_left_unfinished_is_not_read(tmp_path):
    write_log(tmp_path / "20260101_000000", range(1, 8), per_epoch=5)
    (file,) = tmp_path.rglob("scalars.json")
    file.write_text(file.read_text() + '{"step": 8, "lo')
    assert [row["step"] for row in read_log(tmp_path)] == list(range(1, 8))


def test_a_run_without_iterations_yet_is_named(tmp_path):
    (tmp_path / "now" / "vis_data").mkdir(parents=True)
    (tmp_path / "now" / "vis_data" / "scalars.json").touch()
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        plot_training(tmp_path, tmp_path / "curves.png")


def test_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="scalars.json"):
        read_log(tmp_path)
