"""The part of packaging that needs code; pyproject.toml declares the rest.

mmengine and mim look for configurations and tools in ``snnssl_mm/.mim``. A wheel gets
a copy of them there; an editable installation gets links, so that an edited
configuration counts at once. Commands are overridden for that, because ``sys.argv``
says nothing reliable under PEP 517 and PEP 660.
"""

import shutil
from pathlib import Path

from setuptools import setup
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


setup(cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel})
