#!/usr/bin/env python3
"""List licences of what constraints.txt pins, in docs/project/licenses.md.

usage: python benchmarks/licenses.py [--check]

Names and versions come from constraints.txt, licences from the installed distributions.
With --check, only compare the list with the pinned versions.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.licenses import (
    InvalidLicenseExpression,
    canonicalize_license_expression,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from snnssl_mm.cli.shared.user_errors import run_tool

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
DOCS = ROOT / "docs" / "requirements.txt"
LIST = ROOT / "docs" / "project" / "licenses.md"
UNKNOWN = "unknown"

SPDX = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD (variant not stated)",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD (variant not stated)",
    "freebsd": "BSD-2-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "licenseref-apache-2.0": "Apache-2.0",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""SPDX names of licences that distributions state in other words."""

OVERRIDES = {
    "axe-playwright-python": "MIT AND MPL-2.0",  # the latter of axe.min.js inside
    "onedl-mmengine": "Apache-2.0",  # states the full text instead of a name
    "spikingjelly": "Apache-2.0",  # has only a LICENSE file
}
"""Licences of distributions that do not state a name, read from their files."""

PERMISSIVE = re.compile(
    r"Apache-2.0|BSD.*|0BSD|BSL-1.0|CC0-1.0|CNRI-Python|ISC|LLVM-exception|"
    r"MIT(-CMU)?|PSF-2.0"
)
COPYLEFT = {
    "AGPL": "copyleft",
    "GPL": "copyleft",
    "LGPL": "weak copyleft",
    "MPL": "weak copyleft",
    "EPL": "weak copyleft",
    "CDDL": "weak copyleft",
}
HEADING = re.compile(
    r"^[ \t]*GNU (LESSER |AFFERO |)GENERAL PUBLIC LICENSE\s*\n\s*Version (\d(?:\.\d)?)",
    re.MULTILINE,
)
SHORT = {"": "GPL", "LESSER ": "LGPL", "AFFERO ": "AGPL"}
HEAD = """# Licences of the dependencies

Written by `python benchmarks/licenses.py`; do not edit. Names and versions are those of
`constraints.txt`, licences those that the distributions state. `run` is needed to use
snnssl_mm, `dev` to test and to export, `docs` to build this site, `set-up` by
tools/setup_env.py alone. Bold marks what is not plainly permissive. "Has the text of"
means that the wheel's licence files hold a GNU licence: of a library inside it (such
as GEOS, FFmpeg, Qt, or GCC's run-time library, which has an exception) or of a part.

Not here: a torch for CUDA brings NVIDIA's proprietary libraries and triton (MIT); on
a GPU `make setup` adds cupy (MIT).
"""


def pins(text: str) -> dict[str, str]:
    """Return the version, or range, of each distribution of constraints.txt."""
    found = re.findall(r"^([\w.-]+)([=<>~!].*)$", text, re.MULTILINE)
    return {name: version.removeprefix("==") for name, version in found}


def requirements(extra: str = "") -> list[str]:
    """Return the requirements of pyproject.toml, with or without an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed: list[str] = project["dependencies"]
    return needed + (project["optional-dependencies"][extra] if extra else [])


def closure(roots: list[str]) -> set[str]:
    """Return the normalised names of all direct and indirect requirements.

    Args:
        roots: Requirements such as ``"torch>=2.6"``.
    """
    todo = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while todo:
        asked = todo.pop()
        name = canonicalize_name(asked.name)
        for extra in {"", *asked.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:  # of an optional part
                continue
            found = map(Requirement, needed)
            todo += [
                one
                for one in found
                if one.marker is None or one.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def license_of(found: metadata.Distribution) -> str:
    """Return the licence that a distribution states, by its SPDX name if possible."""
    name = canonicalize_name(found.metadata["Name"])
    if name in OVERRIDES:
        return OVERRIDES[name]
    fields = [
        text
        for key in ("License-Expression", "License")
        for text in found.metadata.get_all(key) or []
    ]
    classifiers = found.metadata.get_all("Classifier") or []
    fields += [
        one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")
    ]
    for field in fields:
        known = SPDX.get(field.lower())
        if known:
            return known
        try:
            return str(canonicalize_license_expression(field))
        except InvalidLicenseExpression:
            continue
    return UNKNOWN


def concern(expression: str) -> str:
    """Return why a licence is not permissive: copyleft, proprietary, unknown; or ''."""
    parts = re.split(r" (?:AND|OR|WITH) |[()] ?", expression)
    if expression.startswith("BSD ("):
        parts = ["BSD"]
    for part in filter(None, parts):
        if not PERMISSIVE.fullmatch(part):
            kind = COPYLEFT.get(part.partition("-")[0])
            return kind or ("proprietary" if "LicenseRef" in part else UNKNOWN)
    return ""


def gnu_texts(found: metadata.Distribution) -> list[str]:
    """List the GNU licences whose text is in a distribution's licence files."""
    texts = set()
    for file in found.files or []:
        if not re.search("licen[cs]e|copying|notice|third", str(file), re.IGNORECASE):
            continue
        if file.suffix in (".py", ".pyc", ".so"):
            continue
        text = Path(str(file.locate())).read_text(errors="replace")
        texts |= {f"{SHORT[kind]}-{number}" for kind, number in HEADING.findall(text)}
    return sorted(texts)


def row(name: str, version: str, uses: dict[str, set[str]]) -> str:
    """Format one line of the table."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise SystemExit(
            f"error: {name} of constraints.txt is not installed; run make docs"
        ) from None
    normal = canonicalize_name(name)
    used = next((use for use, names in uses.items() if normal in names), "set-up")
    expression = license_of(found)
    notes = [f"**{concern(expression)}**"] if concern(expression) else []
    notes += [f"has the text of **{text}**" for text in gnu_texts(found)]
    return f"| {name} | {version} | {expression} | {used} | {', '.join(notes)} |"


def listing(pinned: dict[str, str]) -> str:
    """Make the complete file."""
    docs = re.sub(r"\s*#.*", "", DOCS.read_text()).split()
    asked = {"run": requirements(), "dev": requirements("dev"), "docs": docs}
    uses = {use: closure(roots) for use, roots in asked.items()}
    lines = [row(name, version, uses) for name, version in pinned.items()]
    head = "| distribution | version | licence | needed to | note |"
    return "\n".join([HEAD, head, "| --- | --- | --- | --- | --- |", *lines, ""])


def listed(text: str) -> dict[str, str]:
    """Read the versions of the distributions in a written list."""
    return dict(re.findall(r"^\| ([\w.-]+) \| (\S+) \| ", text, re.MULTILINE)[2:])


def main() -> None:
    """Write the list, or check that it is up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args()
    pinned = pins(CONSTRAINTS.read_text())
    if not args.check:
        LIST.write_text(listing(pinned))
        return
    found = listed(LIST.read_text()) if LIST.exists() else {}
    changed = sorted(name for name, _ in pinned.items() ^ found.items())
    if changed:
        raise SystemExit(
            f"error: docs/project/licenses.md and constraints.txt differ in "
            f"{', '.join(dict.fromkeys(changed))}; run python benchmarks/licenses.py"
        )


if __name__ == "__main__":
    run_tool(main)
