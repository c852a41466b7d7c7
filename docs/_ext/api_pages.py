"""Pages of the public API: what the packages list in ``__all__``."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import snnssl_mm


@functools.cache
def public() -> dict[str, Any]:
    """Return packages with public names: those with ``__all__``."""
    found = {}
    for module in pkgutil.iter_modules(snnssl_mm.__path__):
        if module.ispkg and module.name != "cli":
            package = importlib.import_module(f"snnssl_mm.{module.name}")
            if getattr(package, "__all__", None):
                found[module.name] = package
    return found


def names(package: Any) -> list[str]:
    """Return the public names of a package that no other package documents."""
    homes = {f"snnssl_mm.{name}" for name in public()} - {package.__name__}
    return [
        name
        for name in package.__all__
        if ".".join(getattr(getattr(package, name), "__module__", "").split(".")[:2])
        not in homes
    ]


def summary(what: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(what) or "").partition("\n")[0]


def directive(package: str, name: str, what: Any) -> list[str]:
    """Return the autodoc directive of a public name."""
    full = f"snnssl_mm.{package}.{name}"
    if inspect.isclass(what):
        return [f".. autoclass:: {full}", "   :members:", "   :show-inheritance:", ""]
    kind = "function" if inspect.isroutine(what) else "data"
    return [f".. auto{kind}:: {full}", *(["   :no-value:"] * (kind == "data")), ""]


def page(name: str, package: Any) -> str:
    """Return the page of a package."""
    lines = [f"# snnssl_mm.{name}", "", summary(package), ""]
    for public_name in names(package):
        what = getattr(package, public_name)
        body = "\n".join(directive(name, public_name, what))
        lines += [f"## {public_name}", "", "```{eval-rst}", body, "```", ""]
    return "\n".join(lines)


def index(packages: dict[str, Any]) -> str:
    """Return the page that lists all public names."""
    lines = [
        "# Python API",
        "",
        "The public names. Anything else is internal and may change without notice.",
    ]
    for name, package in packages.items():
        lines += ["", f"## [snnssl_mm.{name}]({name}.md)", "", summary(package), ""]
        lines += ["| name | what |", "| --- | --- |"]
        for public_name in names(package):
            text = summary(getattr(package, public_name)).replace("|", "\\|")
            lines.append(
                f"| [{public_name}]({name}.md#{public_name.lower()}) | {text} |"
            )
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *packages, "```", ""])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    packages = public()
    yield "index", index(packages)
    for name, package in packages.items():
        yield name, page(name, package)
