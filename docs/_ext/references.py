"""Links from names in docstrings to where they are: a public page, or the source.

Python tells where a class is defined (``torch.nn.modules.module.Module``), its project
documents it where it is public (``torch.nn.Module``). Names of this package that are
not public link to their source, and a name without its module is found if it is unique.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections import defaultdict
from pathlib import Path
from typing import Any

from docutils import nodes
from results_tables import ROOT
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.intersphinx import missing_reference

import snnssl_mm

SOURCE = "https://github.com/snnssl-mm/snnssl_mm/blob/main"


@functools.cache
def defined() -> dict[str, list[Any]]:
    """Return the package's classes, functions and modules by each part of their name.

    A function ``a.b.c`` is found as ``c``, ``b.c`` and ``a.b.c``.
    """
    found = defaultdict(list)
    for module in pkgutil.walk_packages(snnssl_mm.__path__, "snnssl_mm."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        own = [
            (f"{module.name}.{name}", what)
            for name, what in vars(loaded).items()
            if inspect.isclass(what) or inspect.isroutine(what)
            if getattr(what, "__module__", "") == module.name
        ]
        for full, what in [(module.name, loaded), *own]:
            parts = full.split(".")
            for start in range(len(parts)):
                found[".".join(parts[start:])].append(what)
    return found


def source(what: Any) -> str:
    """Return the address of the source of a class, function or module."""
    file = Path(inspect.getsourcefile(what) or "").resolve().relative_to(ROOT)
    if inspect.ismodule(what):
        return f"{SOURCE}/{file}"
    return f"{SOURCE}/{file}#L{inspect.getsourcelines(what)[1]}"


def to_source(target: str, content: nodes.Element) -> nodes.Element | None:
    """Link to the source of a name of this package, if there is exactly one."""
    candidates = defined().get(target, [])
    if len(candidates) != 1:
        return None
    link = nodes.reference("", "", refuri=source(candidates[0]), internal=False)
    link += content.deepcopy()
    return link


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve a name that Sphinx did not find as it stands."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    if target.startswith("nn."):  # signatures of classes have names as written
        node["reftarget"] = f"torch.{target}"
        return missing_reference(app, env, node, content)
    candidates = defined().get(target, [])
    if len(candidates) == 1 and not inspect.ismodule(candidates[0]):
        what = candidates[0]
        full = f"{what.__module__}.{what.__qualname__}"
        python = env.domains.python_domain
        arguments = (env, node["refdoc"], app.builder, node["reftype"], full)
        if found := python.resolve_xref(*arguments, node, content):
            return found
    if found := to_source(target, content):
        return found
    *modules, name = target.split(".")
    for length in range(len(modules) - 1, 0, -1):
        node["reftarget"] = ".".join([*modules[:length], name])
        if public := missing_reference(app, env, node, content):
            return public
    node["reftarget"] = target
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Resolve what intersphinx, at its priority of 500, did not."""
    app.connect("missing-reference", resolve, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
