"""Packaging of snnssl_mm.

mmengine and mim look for configurations and tools in ``snnssl_mm/.mim``. A wheel gets
a copy of them there; an editable installation gets links, so that an edited
configuration counts at once. Commands are overridden for that, because ``sys.argv``
says nothing reliable under PEP 517 and PEP 660.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ("configs", "tools", "model-index.yml")


def fill_mim(mim: Path, link: bool) -> None:
    """Put MIM_CONTENT into the folder `mim`, replacing what was there.

    Args:
        mim: ``.mim`` folder of the package.
        link: Links instead of copies; copies where the file system refuses links.
    """
    if mim.is_symlink():
        mim.unlink()
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for name in MIM_CONTENT:
        source, target = ROOT / name, mim / name
        if link:
            try:
                target.symlink_to(source, target_is_directory=source.is_dir())
                continue
            except OSError:
                pass
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.py[cod]")
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)


class BuildPy(build_py):
    """Build the package and pack ``.mim`` into it (wheels)."""

    def run(self) -> None:
        """Build from nothing: a module deleted from the source must not survive."""
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib) / "snnssl_mm"
        shutil.rmtree(package, ignore_errors=True)
        super().run()
        fill_mim(package / ".mim", link=False)


class EditableWheel(editable_wheel):
    """Make an editable installation whose ``.mim`` links to the sources."""

    def run(self) -> None:
        """Fill ``snnssl_mm/.mim`` in the source tree first."""
        fill_mim(ROOT / "snnssl_mm" / ".mim", link=True)
        super().run()


def read_version() -> str:
    """Read ``__version__`` without importing the package, which needs torch."""
    text = (ROOT / "snnssl_mm" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('snnssl_mm/version.py has no line __version__ = "..."')
    return match.group(1)


def read_readme() -> str:
    """Return the README, empty where a partial checkout has none."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="snnssl_mm",
    version=read_version(),
    description="Self-supervised pretraining of spiking networks on OpenMMLab",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    entry_points={"console_scripts": ["snnssl = snnssl_mm.cli.main:main"]},
    packages=find_packages(include=["snnssl_mm", "snnssl_mm.*"]),
    package_data={
        "": ["*.cu", "*.cuh", "*.h", "*.j2", "templates/*.j2"],
        "snnssl_mm": ["weights/*.pth"],
    },
    include_package_data=False,
    zip_safe=False,
    cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel},
    install_requires=[
        "torch>=2.6",
        "torchvision",
        "numpy",
        # The maintained distributions of mmengine, mmcv, mmdet, mmseg, mmpretrain.
        # pip installs onedl-mmcv without the operators that detection needs:
        # python -m snnssl_mm.setup_mmcv compiles them.
        "onedl-mmengine>=0.10.12",
        "onedl-mmcv>=2.3.6",
        "onedl-mmdetection>=3.5.1",
        "onedl-mmsegmentation>=1.4.2",
        "onedl-mmpretrain>=1.3.6",
        "spikingjelly>=2.0",
        "nir",  # 0.3 MB beside h5py, which spikingjelly needs anyway
        "scikit-learn",
        "matplotlib",
        "rich",
        "jinja2",
        "pyyaml",
        "numba",
        "opencv-python-headless",
    ],
    extras_require={
        "cupy12": ["cupy-cuda12x"],
        "cupy13": ["cupy-cuda13x"],
        # 120 MB. NIR and torch.export need none of it.
        "export": ["onnx", "onnxscript", "onnxruntime"],
        "dev": [
            "ruff",
            "mypy",
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "psutil",
            "nbclient",
            "ipykernel",
            "setuptools>=77",
            "onnx",
            "onnxscript",
            "onnxruntime",
            "nirtorch",  # with it spikingjelly reads NIR files
            # Compiles the CUDA kernels in tests on machines without a GPU.
            "nvidia-cuda-nvrtc; sys_platform == 'linux'",
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
