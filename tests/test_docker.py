"""Dockerfiles: what they name exists in the repository. Nothing is built."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = [ROOT / "Dockerfile", ROOT / "docker" / "cuda.Dockerfile"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

each = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)


@each
def test_copied_files_exist(file: Path) -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", file.read_text(), re.M)
    assert len(copied) == 3
    assert [name for name in copied if not (ROOT / name).exists()] == []


@each
def test_copied_files_are_not_ignored(file: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", file.read_text(), re.M)
    needed = {*copied, "configs", "tools", "model-index.yml", "README.md", "LICENSE"}
    assert not needed & set(ignored)


@each
def test_command_and_extras_are_those_of_the_package(file: Path) -> None:
    text = file.read_text()
    assert set(re.findall(r'^ENTRYPOINT \["(\w+)"\]', text, re.M)) == {"snnssl"}
    assert "snnssl" in PROJECT["scripts"]
    extras = re.findall(r'"\.\[(\w+)\]"', text)
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    assert len(extras) == (file.name == "cuda.Dockerfile")


def test_python_is_that_of_the_tests() -> None:
    (pinned,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILES[0].read_text(), re.M)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    (tested,) = [s["with"]["python-version"] for s in steps if "setup-python" in str(s)]
    assert pinned == tested
    assert f"Programming Language :: Python :: {pinned}" in PROJECT["classifiers"]


def test_operators_and_torch_are_compiled_for_one_cuda() -> None:
    text = DOCKERFILES[1].read_text()
    (image,) = re.findall(r"^ARG CUDA=(\d+)\.(\d+)", text, re.M)
    assert f"/whl/cu{''.join(image)} " in text
    assert f"[cupy{image[0]}]" in text
