"""The list of licences: it has every pin, everything is pinned, copyleft is bold."""

import runpy
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OF_CUDA = ("nvidia-", "cuda-", "cupy-", "triton")  # a torch for GPUs brings its own


@pytest.fixture
def tool():
    return runpy.run_path(str(ROOT / "benchmarks" / "licenses.py"))


def distribution(**fields):
    stated = Message()
    stated["Name"] = "any"
    for key, value in fields.items():
        stated[key.replace("_", "-")] = value
    return SimpleNamespace(metadata=stated, files=[])


def test_everything_that_the_project_asks_for_is_pinned(tool):
    pinned = tool["pins"](tool["CONSTRAINTS"].read_text())
    needed = tool["closure"](tool["requirements"]("dev"))
    assert {"torch", "pytest", "urllib3", "psutil"} <= needed  # direct and indirect
    unpinned = needed - {canonicalize_name(name) for name in pinned}
    assert [name for name in unpinned if not name.startswith(OF_CUDA)] == []


def test_list_has_the_pins(run_benchmark, tool, tmp_path, monkeypatch):
    run_benchmark("licenses.py", "--check")
    text = tool["LIST"].read_text()
    monkeypatch.setattr(Path, "read_text", lambda path: changed[path.name])
    changed = {
        "constraints.txt": ROOT.joinpath("constraints.txt").open().read() + "new==1\n",
        "licenses.md": text.replace("| six | 1.", "| six | 0."),
    }
    with pytest.raises(SystemExit, match="new, six"):
        run_benchmark("licenses.py", "--check")


def test_list_knows_every_licence_and_marks_what_is_not_permissive(tool):
    lines = tool["LIST"].read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    for name, _, licence, used, *note in rows[2:]:
        assert licence != tool["UNKNOWN"], name
        assert used in ("run", "dev", "docs", "set-up")
        concern = tool["concern"](licence)
        assert not concern or f"**{concern}**" in note[0], name
    marked = {row[0] for row in rows if "weak copyleft" in row[-1]}
    assert {"certifi", "tqdm", "hypothesis"} <= marked


@pytest.mark.parametrize(
    ("fields", "licence", "concern"),
    [
        (dict(License_Expression="MIT AND Apache-2.0"), "MIT AND Apache-2.0", ""),
        (dict(License="Apache 2.0"), "Apache-2.0", ""),
        (
            dict(License="Copyright (c) ...", Classifier="License :: MIT License"),
            "MIT",
            "",
        ),
        (dict(License="BSD"), "BSD (variant not stated)", ""),
        (dict(License="mpl-2.0 and mit"), "MPL-2.0 AND MIT", "weak copyleft"),
        (dict(License="LGPL-2.1-or-later"), "LGPL-2.1-or-later", "weak copyleft"),
        (dict(License="GPL-3.0-only"), "GPL-3.0-only", "copyleft"),
        (dict(License="(MIT AND GPL-2.0-only)"), "(MIT AND GPL-2.0-only)", "copyleft"),
        (dict(License="LicenseRef-Mine"), "LicenseRef-Mine", "proprietary"),
        (dict(License="UNKNOWN"), "unknown", "unknown"),
        ({}, "unknown", "unknown"),
    ],
)
def test_licence_and_concern(tool, fields, licence, concern):
    found = tool["license_of"](distribution(**fields))
    assert (found, tool["concern"](found)) == (licence, concern)


def test_gnu_texts_in_a_wheel_are_found(tool, tmp_path):
    file = tmp_path / "LICENSE_OF_PART"
    file.write_text("x\n   GNU LESSER GENERAL PUBLIC LICENSE\n   Version 2.1, Feb\n")
    mention = tmp_path / "LICENSE"
    mention.write_text("compatible with the GNU General Public License version 3\n")
    wheel = distribution()
    for path in (file, mention):
        wheel.files.append(Located(path))
    assert tool["gnu_texts"](wheel) == ["LGPL-2.1"]


class Located(type(Path())):
    """A file of a distribution."""

    def locate(self):
        return Path(self)
