"""Importing the package, or any part of it, changes no other library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    *("torch", "torchvision", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain"),
    "matplotlib",
)

SNAPSHOT = """
import importlib, json, pkgutil, sys, warnings

start = list(sys.meta_path), list(warnings.filters)
from snnssl_mm.compat import FINDER, apply, torchvision_operators

assert start == (sys.meta_path, warnings.filters)
torchvision_operators()  # without them torchvision may not import

LIBRARIES = %r
PATCHED = (
    "mmengine.runner", "mmengine.logging", "mmengine.config", "mmengine.hub",
    "mmengine._strategy", "mmpretrain.datasets", "mmpretrain.apis",
    "mmdet.evaluation", "mmdet.apis", "mmseg.apis", "mmcv.transforms",
    "matplotlib.figure", "torchvision.ops", "torch.utils.data",
)


def contents(value):
    '''What is registered in a container; None for any other value.'''
    if isinstance(value, sys.modules["mmengine.registry"].Registry):
        value = value.module_dict
    if isinstance(value, dict):
        items = dict.items(value)  # matplotlib's own would choose a backend
        return {repr(key): (id(entry), entry) for key, entry in items}
    return None


def owners():
    '''Modules of the libraries, and the classes that they define.'''
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in LIBRARIES or module is None:
            continue
        yield name, module
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == name:
                yield f"{name}:{value.__qualname__}", value


def snapshot():
    '''Every attribute, kept alive so that no other object gets its id.'''
    found = {}
    for owner, thing in owners():
        for name, value in list(vars(thing).items()):
            if name == "__warningregistry__":  # Python's, of warnings that came
                continue
            found[owner, name] = (value, contents(value))
    return found


def changes(before, after):
    for place, (value, held) in before.items():
        if place not in after:
            yield place
            continue
        now, holds = after[place]
        if held is not None and holds is not None:
            lost = {k for k, (i, _) in held.items() if holds.get(k, (0,))[0] != i}
            yield from ((*place, key) for key in sorted(lost))
        elif now is not value:
            yield place
    known = {owner for owner, _ in before}
    for owner, name in after.keys() - before.keys():
        submodule = f"{owner}.{name}" in sys.modules
        operators = (owner, name) == ("torch.ops", "snnssl_mm")  # registered ones
        if owner in known and not submodule and not operators:
            yield owner, name


def others():
    import matplotlib

    return {
        "warnings.filters": list(warnings.filters),
        "sys.meta_path": list(sys.meta_path),
        "rcParams": {key: dict.__getitem__(matplotlib.rcParams, key)
                     for key in matplotlib.rcParams},
    }


def import_everything_of_ours():
    import snnssl_mm

    for module in pkgutil.walk_packages(snnssl_mm.__path__, "snnssl_mm."):
        if ".mim" not in module.name:
            importlib.import_module(module.name)


for name in (*LIBRARIES, *PATCHED):
    importlib.import_module(name)
"""

COMPARE = (
    SNAPSHOT
    + """
before, before_others = snapshot(), others()
import_everything_of_ours()
imported = snapshot()
changed = [":".join(map(str, place)) for place in changes(before, imported)]
changed += [key for key, value in others().items() if value != before_others[key]]
ours = [name for name in sys.modules if name.startswith("snnssl_mm.")]
found = {"changed": changed, "imported": len(ours), "seen": len(before)}
found["scopes"] = [FINDER in sys.meta_path]
for name in ("mmdet.EMAHook", "snnssl_mm.KNNHook"):
    sys.modules["mmengine.registry"].HOOKS.get(name)
    found["scopes"].append(FINDER in sys.meta_path)
apply()
once = snapshot()
apply()
found["patched"] = len(list(changes(imported, once)))
found["again"] = [":".join(map(str, place)) for place in changes(once, snapshot())]
print(json.dumps(found))
"""
)


def run(code, folder):
    """Return the last line that code prints in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def libraries():
    """Skip where one of the libraries is not installed."""
    for name in LIBRARIES:
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def found(libraries, tmp_path_factory):
    """Return what imports, and then the workarounds, changed in the libraries."""
    return run(COMPARE % (LIBRARIES,), tmp_path_factory.mktemp("imports"))


def test_importing_every_module_changes_no_library(found):
    assert found["changed"] == []
    assert found["imported"] > 100
    assert found["seen"] > 10_000


def test_workarounds_patch_only_once(found):
    assert found["patched"] > 5
    assert found["again"] == []


def test_our_scope_applies_the_workarounds_when_it_is_asked(found):
    """Not their import, and no other scope."""
    assert found["scopes"] == [False, False, True]
