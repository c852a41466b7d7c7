"""The set-up script: error messages, the stamp, the pins, the cache."""

import ast
import importlib.util
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import setuptools  # noqa: F401  (it cannot be imported after Python's own distutils)

TOOLS = Path(__file__).resolve().parents[1] / "tools"
SCRIPT = TOOLS / "setup_env.py"
BUILDER = TOOLS.parent / "snnssl_mm" / "setup_mmcv.py"
PINS = "torch==2.13.0\ntorchaudio==2.11.0\ntorchvision==0.28.0\nnumpy==2.2.6\n"


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build_mmcv() -> ModuleType:
    return load(BUILDER)


@pytest.fixture
def setup_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a checkout in a temporary folder and with an empty cache."""
    module = load(SCRIPT)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", venv / "snnssl_mm.stamp")
    monkeypatch.setattr(module, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setenv("SNNSSL_MM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    (tmp_path / "constraints.txt").write_text(PINS)
    (tmp_path / "setup.py").write_text("# setup\n")
    (tmp_path / "pyproject.toml").write_text("# project\n")
    return module


def refusal(setup_env: ModuleType, capsys: pytest.CaptureFixture[str]) -> str:
    """Run main(); return its last line, which must be the complete error message."""
    assert setup_env.main() == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_script_parses_and_refuses_on_python_3_6() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    code = f"""if True:
        import runpy, sys
        sys.version_info = (3, 6, 15, "final", 0)
        for name in [n for n in sys.modules if n.startswith("importlib.metadata")]:
            del sys.modules[name]
        sys.modules["importlib.metadata"] = None  # Python 3.8 brought it
        runpy.run_path({str(SCRIPT)!r})
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.fullmatch(r"setup: .*Python.*\n", done.stderr)


def test_a_missing_compiler_is_reported_before_anything_is_made(
    setup_env: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: None)
    assert "apt install g++" in refusal(setup_env, capsys)
    assert not setup_env.VENV.exists()


def test_no_python_header_is_named(
    setup_env: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    message = refusal(setup_env, capsys)
    assert f"{tmp_path}/Python.h" in message
    assert "apt install python3-dev" in message


def test_a_cached_wheel_makes_a_compiler_unnecessary(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: None)
    folder = tmp_path / "cache/snnssl_mm/wheels/any-key"
    folder.mkdir(parents=True)
    (folder / "onedl_mmcv-2.3.6.whl").touch()
    setup_env.check_compiler()


def test_too_little_space_is_reported_with_both_numbers(
    setup_env: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(setup_env, "check_compiler", lambda: None)
    monkeypatch.setattr(setup_env, "has_gpu", lambda: False)
    usage = SimpleNamespace(free=5.5e9)
    monkeypatch.setattr(setup_env.shutil, "disk_usage", lambda folder: usage)
    message = refusal(setup_env, capsys)
    assert all(number in message for number in ("5.5 GB", "6 GB"))


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_python_without_venv_is_refused(
    setup_env: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    monkeypatch.setattr(setup_env, "check_compiler", lambda: None)
    monkeypatch.setattr(setup_env, "check_disk", lambda: None)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        setup_env.importlib.util,
        "find_spec",
        lambda name: None if name == missing else find_spec(name),
    )
    assert "apt install python3-venv" in refusal(setup_env, capsys)


def test_closed_network_is_distinguished_from_other_failures(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(message: str) -> None:
        def run(*command: object) -> str:
            raise setup_env.SetupError(message)

        monkeypatch.setattr(setup_env, "run", run)

    fail("WARNING: Retrying after connection broken by NewConnectionError")
    with pytest.raises(setup_env.SetupError, match="proxy"):
        setup_env.pip_install("torch")
    fail("error: subprocess-exited-with-error")
    with pytest.raises(setup_env.SetupError) as error:
        setup_env.pip_install("torch")
    assert "proxy" not in str(error.value)


def test_stamp_goes_stale_with_each_of_its_sources(
    setup_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "setup_env.py"
    script.write_text("# script\n")
    monkeypatch.setattr(setup_env, "__file__", str(script))
    assert not setup_env.is_current()
    setup_env.PYTHON.parent.mkdir(parents=True)
    setup_env.PYTHON.touch()
    settings = setup_env.VENV / "pyvenv.cfg"
    settings.write_text("version = 3.11.7\n")
    own = (tmp_path / "pyproject.toml", tmp_path / "setup.py", setup_env.CONSTRAINTS)
    for path in (*own, script, settings):
        setup_env.STAMP.write_text(setup_env.stamp_key())
        assert setup_env.is_current()
        path.write_text("changed\n")
        assert not setup_env.is_current(), path
    setup_env.STAMP.write_text(setup_env.stamp_key())
    setup_env.PYTHON.unlink()  # as when the Python below .venv is removed
    assert not setup_env.is_current()


def test_up_to_date_means_that_nothing_is_done(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "is_current", lambda: True)
    monkeypatch.setattr(setup_env, "set_up", pytest.fail)
    assert setup_env.main() == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, {"torch": "2.13.0", "torchvision": "0.28.0", "torchaudio": "2.11.0"}),
        # The pin's own build: the others' pins stay.
        (
            {"torch": "2.13.0+cpu"},
            {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "torchaudio": "2.11.0"},
        ),
        # An older torch with nothing beside it: what was released with it.
        (
            {"torch": "2.7.1+cu128"},
            {"torch": "2.7.1+cu128", "torchvision": "0.22.*", "torchaudio": "2.7.*"},
        ),
        # A torchvision that belongs to it stays; torchaudio is counted to 2.11.
        (
            {"torch": "2.12.1", "torchvision": "0.27.1+cu130", "torchaudio": "2.11.0"},
            {"torch": "2.12.1", "torchvision": "0.27.1+cu130", "torchaudio": "2.11.0"},
        ),
        # A torchvision of another torch is replaced.
        (
            {"torch": "2.8.0", "torchvision": "0.20.0"},
            {"torch": "2.8.0", "torchvision": "0.23.*", "torchaudio": "2.8.*"},
        ),
    ],
)
def test_effective_constraints(
    setup_env: ModuleType, found: dict[str, str], expected: dict[str, str]
) -> None:
    text = setup_env.effective_constraints(PINS, found)
    pins = dict(line.split("==") for line in text.splitlines())
    assert pins == {**expected, "numpy": "2.2.6"}


def test_half_installed_packages_are_dropped(setup_env: ModuleType) -> None:
    site = setup_env.VENV / "lib/python3.11/site-packages"
    for name, files in {"whole": ["INSTALLER", "RECORD"], "cut": ["RECORD"]}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        for file in files:
            (info / file).touch()
    setup_env.drop_half_installed()
    assert [path.name for path in site.iterdir()] == ["whole-1.0.dist-info"]


def test_cache_key_separates_what_changes_the_wheel(build_mmcv: ModuleType) -> None:
    keys = {
        build_mmcv.cache_key(requirement, torch, target)
        for requirement in ("onedl-mmcv==2.3.6", "onedl-mmcv==2.3.7")
        for torch in ("2.13.0+cpu", "2.13.0+cu130", "2.12.0+cu130")
        for target in ("cpu", "9.0", "8.0;9.0")
    }
    assert len(keys) == 18
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert all(python in key and re.fullmatch(r"[\w.+-]+", key) for key in keys)


def test_damaged_wheels_are_never_used(build_mmcv: ModuleType, tmp_path: Path) -> None:
    wheel = tmp_path / "onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl"

    def write(member: str) -> None:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(member, bytes(range(256)) * 100)

    write("mmcv/_ext.cpython-311-x86_64-linux-gnu.so")
    intact = wheel.read_bytes()
    assert build_mmcv.intact_wheel(tmp_path) == wheel

    flipped = bytearray(intact)
    flipped[len(intact) // 2] ^= 1
    for damaged in (intact[: len(intact) // 2], intact[:-1], b"", bytes(flipped)):
        wheel.write_bytes(damaged)
        assert build_mmcv.intact_wheel(tmp_path) is None
        assert not wheel.exists()

    write("mmcv/ops/nms.py")  # intact, but without operators
    assert build_mmcv.intact_wheel(tmp_path) is None

    (tmp_path / f"{wheel.name}.partial").write_bytes(intact)
    assert build_mmcv.intact_wheel(tmp_path) is None


def test_cache_folder_follows_the_environment(
    build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SNNSSL_MM_CACHE", str(tmp_path / "own"))
    assert build_mmcv.cache_folder() == tmp_path / "own/snnssl_mm/wheels"
    monkeypatch.delenv("SNNSSL_MM_CACHE")
    assert build_mmcv.cache_folder() == tmp_path / "xdg/snnssl_mm/wheels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build_mmcv.cache_folder() == tmp_path / ".cache/snnssl_mm/wheels"


def test_operators_that_work_are_not_built_again(
    build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_mmcv, "operators_work", lambda: True)
    monkeypatch.setattr(build_mmcv, "pip_install", None)
    assert "onedl-mmcv==2.3.6" in build_mmcv.install("onedl-mmcv==2.3.6")


def test_operators_are_built_for_the_installed_mmcv_and_checked(
    build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel, installed = tmp_path / "mmcv.whl", []
    monkeypatch.setattr(build_mmcv, "operators_work", lambda: bool(installed))
    monkeypatch.setattr(build_mmcv, "missing_compiler", lambda: None)
    monkeypatch.setattr(build_mmcv, "BUILD_TOOLS", [])
    monkeypatch.setattr(build_mmcv, "wheel_of", lambda *arguments: wheel)
    monkeypatch.setattr(
        build_mmcv, "pip_install", lambda *arguments: installed.append(arguments)
    )
    build_mmcv.install("onedl-mmcv==2.3.6")
    assert installed == [("--no-deps", "--force-reinstall", str(wheel))]


@pytest.mark.parametrize("missing", ["compiler", "pip"])
def test_missing_requirements_of_a_build_are_reported_before_it_starts(
    build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(build_mmcv, "operators_work", lambda: False)
    monkeypatch.setattr(build_mmcv, "wheel_of", None)
    cure = "apt install g++"
    if missing == "pip":
        cure = "ensurepip"
        monkeypatch.setattr(build_mmcv.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(build_mmcv.shutil, "which", lambda name: None)
    with pytest.raises(build_mmcv.BuildError, match=re.escape(cure)):
        build_mmcv.install("onedl-mmcv==2.3.6")
