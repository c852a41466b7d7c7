"""Pages of the public API: what the packages list in ``__all__``."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from markup import toctree
from sphinx.pycode import ModuleAnalyzer

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


def constant(package: Any, name: str) -> str:
    """Return the text below the definition of a constant, wherever that is."""
    prefix = f"{package.__name__}."
    modules = [package.__name__]
    modules += [m.name for m in pkgutil.walk_packages(package.__path__, prefix)]
    for module in modules:
        texts = ModuleAnalyzer.for_module(module).find_attr_docs()
        if found := texts.get(("", name)):
            return " ".join(found).strip()
    raise ValueError(f"{package.__name__}.{name} has no text below its definition")


def directive(package: Any, name: str, what: Any) -> list[str]:
    """Return the directive that documents a public name."""
    full = f"{package.__name__}.{name}"
    home = getattr(what, "__module__", package.__name__)
    if not home.startswith("snnssl_mm"):
        origin = f":py:obj:`{home.partition('.')[0]}'s <{home}.{name}>`"
        kind = "class" if inspect.isclass(what) else "function"
        return [f".. py:{kind}:: {full}", "", f"   {origin}: {summary(what)}"]
    if inspect.isclass(what):
        options = ["   :members:", "   :show-inheritance:"]
        if fields := getattr(what, "_fields", ()):  # "Alias for field number 0"
            options.append(f"   :exclude-members: {', '.join(fields)}")
        return [f".. autoclass:: {full}", *options, ""]
    if inspect.isroutine(what):
        return [f".. autofunction:: {full}", ""]
    return [f".. py:data:: {full}", "", f"   {constant(package, name)}", ""]


def page(name: str, package: Any) -> str:
    """Return the page of a package."""
    lines = [f"# snnssl_mm.{name}", "", summary(package), ""]
    for public_name in names(package):
        what = getattr(package, public_name)
        body = "\n".join(directive(package, public_name, what))
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
            what = getattr(package, public_name)
            is_code = inspect.isclass(what) or inspect.isroutine(what)
            text = summary(what) if is_code else constant(package, public_name)
            text = text.replace("|", "\\|")
            lines.append(
                f"| [{public_name}]({name}.md#{public_name.lower()}) | {text} |"
            )
    return "\n".join([*lines, "", toctree(packages)])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    packages = public()
    yield "index", index(packages)
    for name, package in packages.items():
        yield name, page(name, package)
