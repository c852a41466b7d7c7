"""Contents of the built distributions and of an installation, without a network."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path
from types import ModuleType

import pytest
import setuptools

from snnssl_mm.version import __version__

ROOT = Path(__file__).resolve().parents[1]
FILES = ["setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "model-index.yml"]
FOLDERS = ["snnssl_mm", "configs", "tools", "tests"]


def python(*arguments: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Run a PEP 517 or PEP 660 hook as pip does; return what it built."""
    out.mkdir()
    code = f"import setuptools.build_meta as b; b.build_{kind}({str(out)!r})"
    python("-c", code, cwd=source)
    (built,) = out.iterdir()
    return built


def files_of(folder: Path) -> set[str]:
    """Return the files below a folder that belong to a release."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and ".mim" not in path.parts
    }


def test_changelog_citation_and_package_have_one_version() -> None:
    released = re.findall(
        r"^## \[(\d\S*)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None
    assert released[0] == cited[1] == __version__


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("packaging") / "source"
    copy.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    ignore = shutil.ignore_patterns("__pycache__", ".mim")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    # What a build and an editable installation leave behind must not come along.
    (copy / "build/lib/snnssl_mm").mkdir(parents=True)
    (copy / "build/lib/snnssl_mm/deleted_long_ago.py").touch()
    (copy / "snnssl_mm/.mim/configs").mkdir(parents=True)
    (copy / "snnssl_mm/.mim/configs/stale.py").touch()
    # A config that the wheel must provide to mmengine.
    (copy / "configs/selfsup").mkdir(exist_ok=True)
    (copy / "configs/selfsup/packaging.py").write_text("answer = 42\n")
    return copy


@pytest.fixture(scope="module")
def wheels(source: Path) -> dict[str, Path]:
    folder = source.parent
    sdist = build("sdist", source, folder / "sdist")
    shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return {
        "from the source": build("wheel", source, folder / "wheel"),
        "from the sdist": build("wheel", unpacked, folder / "wheel2"),
    }


@pytest.mark.parametrize("origin", ["from the source", "from the sdist"])
def test_wheel_holds_the_package_and_mim_and_nothing_else(
    wheels: dict[str, Path], source: Path, origin: str
) -> None:
    with zipfile.ZipFile(wheels[origin]) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"snnssl_mm/{name}" for name in files_of(source / "snnssl_mm")}
    expected.add("snnssl_mm/.mim/model-index.yml")
    for folder in ("configs", "tools"):
        files = files_of(source / folder)
        expected |= {f"snnssl_mm/.mim/{folder}/{name}" for name in files}
    assert found == expected


def test_wheel_states_what_it_needs_and_offers(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["from the source"]) as archive:
        (stated,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        found = message_from_string(archive.read(stated).decode())
    assert found["Version"] == __version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.11"
    extras = {"cupy12", "cupy13", "dev", "events", "export", "hub", "slurm"}
    assert extras == set(found.get_all("Provides-Extra"))
    assert "torch>=2.6" in found.get_all("Requires-Dist")


def test_quick_start_and_inheriting_a_config_work_from_the_wheel(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    """List, load, extract features: outside the source tree, without a network."""
    pytest.importorskip("mmpretrain")
    config = tmp_path / "config.py"
    config.write_text("_base_ = ['snnssl_mm::selfsup/packaging.py']\n")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheels["from the sdist"]) as archive:
        archive.extractall(site)
    code = f"""if True:
        import numpy, snnssl_mm
        snnssl_mm.compat.apply()
        from mmengine import Config
        assert Config.fromfile({str(config)!r}).answer == 42
        from snnssl_mm.apis import extract_features, list_models, load_model
        from snnssl_mm.checkpoints import official
        assert official.entries()
        assert snnssl_mm.__file__.startswith({str(site)!r})
        assert "spikformer-digits_ctl" in list_models("*ctl*")
        image = numpy.zeros((20, 30, 3), numpy.uint8)
        print(extract_features(load_model("spikformer-digits_ctl"), image).shape)
    """
    nowhere = {"SNNSSL_MM_ZOO": str(tmp_path / "none"), "https_proxy": "localhost:1"}
    said = python("-c", code, cwd=tmp_path, PYTHONPATH=str(site), **nowhere)
    assert said.splitlines()[-1] == "(1, 64)"


def test_editable_installation_links_to_the_sources(
    source: Path, tmp_path: Path
) -> None:
    build("editable", source, tmp_path / "editable")
    mim = source / "snnssl_mm" / ".mim"
    assert not (mim / "configs/stale.py").exists()
    (source / "tools/edited_later.py").write_text("# new\n")
    assert (mim / "tools/edited_later.py").read_text() == "# new\n"
    assert (mim / "configs").resolve() == source / "configs"


@pytest.fixture
def setup_script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """setup.py as a module, without running it."""
    monkeypatch.setattr(setuptools, "setup", lambda **options: None)
    spec = importlib.util.spec_from_file_location("snnssl_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mim_is_copied_where_links_are_refused(
    setup_script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no links on this file system")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for _ in range(2):  # the second time over the first
        setup_script.fill_mim(tmp_path / ".mim", link=True)
        assert files_of(ROOT / "tools") == {
            path.relative_to(tmp_path / ".mim/tools").as_posix()
            for path in (tmp_path / ".mim/tools").rglob("*.*")
        }
        assert not (tmp_path / ".mim/tools").is_symlink()
