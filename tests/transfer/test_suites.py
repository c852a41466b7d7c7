"""Suites are read, their mistakes are named; entries get unique names."""

from pathlib import Path

import pytest
from mmengine.config import Config

from snnssl_mm.cli import transfer
from snnssl_mm.transfer.entries import read_entries
from snnssl_mm.transfer.suites import Metric, SuiteError, read_suite

ROOT = Path(__file__).parents[2]
FILE = Path("my/suite.py")
TASK = dict(config="a.py", metrics={"AP": "coco/bbox_mAP"})


def read(**settings):
    return read_suite(settings, FILE)


def test_help_lists_the_package_s_suites():
    listed = transfer.__doc__.partition("The suites of the package:")[2]
    listed = listed.partition("A suite is")[0]
    names = {line.split()[0] for line in listed.splitlines() if line[4:5].strip()}
    assert names == {file.stem for file in (ROOT / "configs/transfer").glob("*.py")}


def test_defaults_and_scales():
    suite = read(
        pretraining="p.py",
        sweep=[1.0],
        tasks=dict(
            knn=dict(probe="knn"),
            seg=dict(
                config="b.py",
                metrics={"mIoU": "mIoU", "x": ("y", 0.5)},
                fractions=[1.0, 0.5, 30, 10, 0.5],
            ),
        ),
    )
    assert suite[:3] == ("suite", (0,), ("random",))
    assert read(baselines=[], tasks=dict(a=TASK)).baselines == ()
    knn, seg = suite.tasks
    assert (knn.config, knn.fractions, knn.frozen) == ("p.py", (1.0,), True)
    assert seg.metrics == {"mIoU": Metric("mIoU", 0.01), "x": Metric("y", 0.5)}
    assert seg.fractions == (10, 30, 0.5, 1.0)  # labels a class, then shares
    assert [task.name for task in suite.only(["seg"]).tasks] == ["seg"]
    (half,) = suite.only(None, [0.5]).tasks
    assert (half.name, half.fractions) == ("seg", (0.5,))
    with pytest.raises(SuiteError, match=r"0\.3"):
        suite.only(None, [0.3])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (dict(), "tasks"),
        (dict(task=dict()), "tasks"),
        (dict(tasks=dict(a=dict(probe="knn"))), "pretraining"),
        (dict(pretraining="p", tasks=dict(a=dict(probe="k-nn"))), "knn"),
        (dict(pretraining="p", tasks=dict(a=dict(TASK, probe="knn"))), "config"),
        (dict(tasks=dict(a=dict(config="a.py"))), "metrics"),
        (dict(tasks=dict(a=dict(TASK, fraction=[1]))), "fractions"),
        (dict(tasks=dict(a=dict(TASK, fractions=[0, 1]))), "got 0"),
        (dict(tasks=dict(a=dict(TASK, fractions=["all"]))), "task a"),
        (dict(tasks=dict(a=dict(TASK, fractions=[2.5]))), r"got 2\.5"),
        (dict(tasks=dict(a=TASK), baselines=["pixel"]), "pixels"),
        (dict(tasks=dict(a="a.py")), "task a"),
    ],
)
def test_mistakes_are_named(settings, named):
    with pytest.raises(SuiteError, match=named):
        read(**settings)


def test_an_unknown_task_is_refused():
    with pytest.raises(SuiteError, match="detection"):
        read(tasks=dict(detection=TASK)).only(["detektion"])


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/transfer/*.py")), ids=str)
def test_suites_of_the_package_name_existing_configs(file):
    suite = read_suite(Config.fromfile(file), file)
    assert all(Path(task.config).is_file() for task in suite.tasks)


@pytest.fixture
def files(tmp_path):
    made = []
    for index, folder in enumerate("aab"):
        file = tmp_path / folder / f"epoch_{index}.pth"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes([index]))
        made.append(str(file))
    return made


def test_checkpoints_of_one_name_are_seeds(files):
    first, second, other = files
    texts = [f"ctl={first}", f"ctl={second}", other, other]
    entries = {entry.name: entry for entry in read_entries(texts, ("random",))}
    assert list(entries) == ["ctl", "b-epoch_2", "b-epoch_2-2", "random"]
    for name, used in (("ctl", [first, second]), ("b-epoch_2", [other, other])):
        assert [entries[name].of_seed(i).checkpoint for i in range(2)] == used
    assert entries["random"].of_seed(0) is None
    shas = {entry.of_seed(0).sha256 for entry in list(entries.values())[:2]}
    assert len(shas) == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a=/nowhere/b.pth", FileNotFoundError),
        ("random={}", SuiteError),
        ("https://host/a.pth", ValueError),
    ],
)
def test_entries_that_cannot_be_used(files, text, error):
    with pytest.raises(error):
        read_entries([text.format(files[0])], ("random",))


def test_a_model_of_the_zoo_keeps_its_name():
    (entry,) = read_entries(["snnssl_mm://spikformer-digits_ctl"], ())
    assert entry.name == "spikformer-digits_ctl"
