#!/usr/bin/env python3
"""Set up .venv with everything the project needs: python3 tools/setup_env.py.

Run again, it does nothing; interrupted, it continues. A torch that is already in .venv,
or in the Python that runs this script, is used as it is. Standard library only.
"""

# Down to the check of the version, this file must run on Python 3.6.
import argparse
import contextlib
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

OLDEST, NEWEST = (3, 11), (3, 13)  # on 3.14 imaug and OpenCV want different numpys
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    known = ["python3.12", "python3.11", "python3.13"]
    better = next(filter(shutil.which, known), "python3.12 (install it first)")
    sys.exit(
        f"setup: this is Python {platform.python_version()}, but snnssl_mm needs "
        f"Python 3.11, 3.12 or 3.13; run: make setup PYTHON={better}"
    )

OLDEST_TORCH = (2, 6)
ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "snnssl_mm.stamp"
CONSTRAINTS = ROOT / "constraints.txt"
BUILD_MMCV = ROOT / "snnssl_mm" / "setup_mmcv.py"
PYTORCH_INDEX = "https://download.pytorch.org/whl/"
BUILD_TOOLS = ["setuptools", "wheel", "packaging", "ninja", "numpy"]
# Measured: .venv takes 2.4 GB with a torch for CPUs; CUDA's libraries 7 GB more.
VENV_GB, VENV_CUDA_GB, TMP_GB = 6, 14, 3
OFFLINE = r"connection|name resolution|timed out|no matching distribution|SSLError"
PROBE = """
import importlib.metadata as metadata, json
found = {}
for name in ("torch", "torchvision", "torchaudio"):
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
if "torch" in found:
    import torch
    found["build"] = torch.__version__.partition("+")[2]
    found["cuda"] = torch.version.cuda or ""
print(json.dumps(found))
"""


class SetupError(Exception):
    """Setting up cannot go on: what was wrong, what was expected, what to do."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print what is being done and how long it took."""
    print(f"  {title} ... ", end="", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("stopped", flush=True)
        raise
    print(f"{time.monotonic() - start:.0f} s", flush=True)


def run(*command: str | Path) -> str:
    """Run a command quietly and return its output, or raise with the end of it."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd=tempfile.gettempdir(),  # so that nothing is imported from the checkout
    )
    if done.returncode != 0:
        raise SetupError("\n".join(done.stdout.splitlines()[-25:]))
    return done.stdout


def pip_install(*arguments: str | Path) -> None:
    """Run ``pip install`` in .venv; a failure tells whether an index was missing."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        run(PYTHON, "-m", "pip", "install", *quiet, *arguments)
    except SetupError as error:
        offline = re.search(OFFLINE, str(error), re.IGNORECASE)
        raise SetupError(
            f"{error}\npip could not install {' '.join(map(str, arguments))}; "
            + ("check network, index and proxy" if offline else "see pip's words above")
            + ", and run this again: it continues"
        ) from None


def has_gpu() -> bool:
    """Tell whether this machine has an NVIDIA GPU with its driver."""
    return bool(shutil.which("nvidia-smi")) or Path("/dev/nvidia0").exists()


def stamp_key() -> str:
    """Hash everything that makes a finished .venv out of date when it changes."""
    digest = hashlib.sha256(str(ROOT).encode())
    own = (ROOT / "pyproject.toml", ROOT / "setup.py", CONSTRAINTS, Path(__file__))
    for path in (*own, VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Tell whether .venv was finished from the files as they are now."""
    try:
        return PYTHON.exists() and STAMP.read_text() == stamp_key()
    except OSError:
        return False


def check_interpreter() -> None:
    """Refuse a Python that cannot make environments; Debian splits that part off."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return
    raise SetupError(
        f"{sys.executable} lacks the modules venv or ensurepip, which make .venv; "
        "install them (Debian: apt install python3-venv) and run this again"
    )


def mmcv_builder() -> ModuleType:
    """Return snnssl_mm/setup_mmcv.py, by its path: the package is not there yet."""
    spec = importlib.util.spec_from_file_location("setup_mmcv", BUILD_MMCV)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_compiler() -> None:
    """Refuse a machine without C++ compiler or Python.h, unless mmcv is built."""
    builder = mmcv_builder()
    if any(builder.cache_folder().glob("*/*.whl")):
        return
    missing = builder.missing_compiler()
    if missing:
        raise SetupError(missing)


def check_disk() -> None:
    """Refuse to start with too little space, which pip would find out late."""
    if STAMP.exists():
        return  # an update needs little
    venv_gb = VENV_CUDA_GB if has_gpu() else VENV_GB
    for folder, needed in ((ROOT, venv_gb), (Path(tempfile.gettempdir()), TMP_GB)):
        free = shutil.disk_usage(folder).free / 1e9
        if free < needed:
            raise SetupError(
                f"{folder} has {free:.1f} GB free, but setting up needs {needed} GB "
                "there; make room (for temporary files: set TMPDIR) and run this again"
            )


def release(version: str) -> tuple[int, ...]:
    """Return (2, 6) for torch 2.6.0+cpu."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def usable_torch_here() -> bool:
    """Tell whether the Python that runs this script has a torch to build upon."""
    from importlib import metadata  # not in Python 3.6, so not at the top

    found = [torch.version for torch in metadata.distributions(name="torch")]
    return bool(found) and release(found[0]) >= OLDEST_TORCH


def site_packages() -> Path:
    """Return the folder that .venv's packages are in."""
    return next(VENV.glob("lib/python3*/site-packages"))


def make_venv() -> None:
    """Make .venv, or repair one whose making was interrupted."""
    try:
        version = run(PYTHON, "-c", "import sys; print(*sys.version_info[:2])")
    except (OSError, SetupError):
        check_interpreter()
        through = ["--system-site-packages"] if usable_torch_here() else []
        run(sys.executable, "-m", "venv", "--clear", *through, VENV)
        if through and sys.prefix != sys.base_prefix:
            # venv looks through to the Python beneath this environment, not to it.
            parent = sysconfig.get_path("purelib") + "\n"
            (site_packages() / "parent_environment.pth").write_text(parent)
        return
    if not OLDEST <= tuple(map(int, version.split())) <= NEWEST:
        raise SetupError(
            f"{VENV} holds Python {version.strip()}, but snnssl_mm needs 3.11, 3.12 or "
            "3.13; remove that folder and run this again"
        )
    drop_half_installed()
    run(PYTHON, "-m", "ensurepip")


def drop_half_installed() -> None:
    """Make pip reinstall what it was installing when it was interrupted.

    It writes INSTALLER after a package's files. Without this function, a package that
    was cut off before that could count as installed.
    """
    for info in site_packages().glob("*.dist-info"):
        if not (info / "INSTALLER").exists() or not (info / "RECORD").exists():
            shutil.rmtree(info)


def probe() -> dict[str, str]:
    """Return what .venv has of torch's family, and for which CUDA torch was built."""
    try:
        found: dict[str, str] = json.loads(run(PYTHON, "-c", PROBE).splitlines()[-1])
    except SetupError as error:
        raise SetupError(
            f"{error}\nthe torch that {PYTHON} sees cannot be imported; reinstall it "
            f"where it is, or remove {VENV}, and run this again"
        ) from None
    if "torch" in found and release(found["torch"]) < OLDEST_TORCH:
        raise SetupError(
            f"{VENV} holds torch {found['torch']}, but snnssl_mm needs 2.6 or newer; "
            "update it there, or remove that folder, and run this again"
        )
    return found


def effective_constraints(text: str, found: dict[str, str]) -> str:
    """Replace the pins of torch's family by what belongs to the installed torch.

    torchvision 0.(n+15) belongs to torch 2.n and works with no other. torchaudio had
    torch's numbers up to 2.11, which is its last release and takes newer ones.

    Args:
        text: constraints.txt.
        found: Installed versions by distribution, as :func:`probe` returns them.
    """
    if "torch" not in found:
        return text
    major, minor = release(found["torch"])
    series = {"torchvision": "", "torchaudio": ""}
    if major == 2:  # how torch 3 will be counted nobody knows
        series = {"torchvision": f"0.{minor + 15}.", "torchaudio": "2."}
        series["torchaudio"] += f"{min(minor, 11)}."
    text = re.sub(r"(?m)^torch==\S+$", f"torch=={found['torch']}", text)
    for name, start in series.items():
        (usual,) = re.findall(rf"(?m)^{name}==(\S+)$", text)
        # An installed one that does not belong to torch is replaced.
        fitting = [v for v in (found.get(name), usual) if v and v.startswith(start)]
        pin = f"{name}=={fitting[0] if fitting else start + '*'}"
        text = text.replace(f"{name}=={usual}\n", pin + "\n")
    return text


def install_torch(constraints: Path) -> dict[str, str]:
    """Install what is missing of torch and torchvision; return :func:`probe`'s answer.

    Without a GPU PyTorch's own index comes first, because elsewhere the same versions
    bring several GB of CUDA libraries. On a closed network that costs seconds.
    """
    found = probe()
    text = effective_constraints(CONSTRAINTS.read_text(), found)
    constraints.write_text(text)
    pins = re.findall(r"^(torch|torchvision)(==\S+)$", text, re.MULTILINE)
    missing = [name + pin for name, pin in pins if name not in found]
    build = found.get("build", "" if has_gpu() else "cpu")
    if missing and build and sys.platform == "linux":
        index = ["--index-url", PYTORCH_INDEX + build, "--retries=0", "--timeout=15"]
        try:
            pip_install("--no-deps", *index, *missing)
        except SetupError:
            print("(PyTorch's index did not serve them: from pip's) ", end="")
    pip_install("-c", constraints, "torch", "torchvision", *BUILD_TOOLS)
    found = probe()
    constraints.write_text(effective_constraints(CONSTRAINTS.read_text(), found))
    return found


def install_rest(constraints: Path, found: dict[str, str], wheel: str) -> None:
    """Install OpenMMLab, spikingjelly, the tools and the package itself."""
    extras, cuda = "dev", found["cuda"].partition(".")[0]
    if has_gpu() and cuda in ("12", "13"):
        extras += f",cupy{cuda}"
    # Forced, because to pip an mmcv without operators is the same thing.
    pip_install("--no-deps", "--force-reinstall", wheel)
    pip_install("-c", constraints, wheel, "-e", f"{ROOT}[{extras}]")


def check_opencv(constraints: Path) -> None:
    """Make ``import cv2`` work without a screen's libraries.

    opencv-python and opencv-python-headless, which the mm libraries both ask for,
    share one folder; the one that needs no libGL must come last.
    """
    with contextlib.suppress(SetupError):
        run(PYTHON, "-c", "import cv2")
        return
    again = ["--no-deps", "--force-reinstall", "opencv-python-headless"]
    pip_install("-c", constraints, *again)
    try:
        run(PYTHON, "-c", "import cv2")
    except SetupError as error:
        raise SetupError(
            f"{error}\nimport cv2 fails even with opencv-python-headless; install what "
            "it names (Debian: apt install libgl1 libglib2.0-0) and run this again"
        ) from None


def set_up() -> None:
    """Do everything, in the order in which the parts need each other."""
    check_compiler()
    check_disk()
    with step(f"virtual environment {VENV}"):
        make_venv()
    constraints = VENV / "constraints.txt"
    with step("torch and torchvision"):
        found = install_torch(constraints)
    with step("mmcv with its operators (minutes, unless its wheel is cached)"):
        (mmcv,) = re.findall(r"(?m)^onedl-mmcv==\S+$", constraints.read_text())
        # -P: snnssl_mm's own modules must not stand in for others of their names.
        command = [PYTHON, "-P", BUILD_MMCV, "--wheel-only", "--requirement", mmcv]
        built = run(*command)
    with step("OpenMMLab, spikingjelly, development tools, the package itself"):
        install_rest(constraints, found, wheel=built.splitlines()[-1])
    with step("checking that it all imports"):
        check_opencv(constraints)
        cured = "from snnssl_mm import compat; compat.apply(); "
        run(PYTHON, "-c", cured + "import mmcv.ops, mmdet, mmseg, mmpretrain")
    STAMP.write_text(stamp_key())


def main() -> int:
    """Set up if needed; return the exit status."""
    text = (__doc__ or "").split("\n")[0]
    argparse.ArgumentParser(description=text).parse_args()
    if is_current():
        return 0
    start = time.monotonic()
    gpu = "a GPU" if has_gpu() else "no GPU"
    print(f"setup: Python {platform.python_version()}, {gpu}", flush=True)
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run this again: it continues", file=sys.stderr)
        return 130
    print(f"setup: ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
