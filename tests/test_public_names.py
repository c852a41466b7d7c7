"""Packages have the public names that they list."""

import importlib
import pkgutil

import pytest

import snnssl_mm

PACKAGES = [
    module.name
    for module in pkgutil.iter_modules(snnssl_mm.__path__)
    if module.ispkg and module.name != "cli"
]


@pytest.mark.parametrize("name", PACKAGES)
def test_listed_names_exist(name):
    package = importlib.import_module(f"snnssl_mm.{name}")
    for public in getattr(package, "__all__", ()):
        assert getattr(package, public) is not None, public


def test_names_that_are_imported_on_use():
    from snnssl_mm import recording

    assert sorted(recording.HOMES) == sorted(recording.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        recording.nothing  # noqa: B018
