"""Packages that a config may inherit from."""

from __future__ import annotations

import functools
import importlib.util
import os.path

from snnssl_mm.compat.status import Status, installed, module_of


def mmseg_configs() -> Status:
    """``_base_ = 'mmseg::...'``: mmsegmentation is not installed.

    Cause: mmengine asks for the distribution ``mmsegmentation``; the maintained one is
    called ``onedl-mmsegmentation``. Asked for ``mmseg``, it finds the module itself.
    Removable: when ``MODULE2PACKAGE['mmseg']`` of onedl-mmengine names a distribution
    that onedl-mmsegmentation installs; in 0.10.12 it does not.
    """
    utils = module_of("mmengine.config.utils")
    if utils is None or importlib.util.find_spec("mmseg") is None:
        return Status("not applicable", "mmengine or mmseg is not installed")
    if installed("mmsegmentation"):
        return Status("absent", "mmsegmentation is installed under its original name")
    utils.MODULE2PACKAGE["mmseg"] = "mmseg"
    return Status("cured", "mmengine looks for the module mmseg")


def own_configs() -> Status:
    """``_base_ = 'snnssl_mm::...'``: mmengine does not support to load this config.

    Cause: mmengine finds packages by a fixed table of OpenMMLab's own. It also uses
    the package as the scope of every name in the config, but our configs are for
    mmpretrain, mmdet or mmseg, as their ``default_scope`` says; so the scope
    ``snnssl_mm``, which does not have those packages' parts, is left out.
    Removable: when mmengine accepts any installed package with a ``.mim`` folder, and
    takes the scope from the config's ``default_scope``.
    """
    module = module_of("mmengine.config.config")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    module_of("mmengine.config.utils").MODULE2PACKAGE["snnssl_mm"] = "snnssl_mm"
    find = module.Config._get_cfg_path
    if not hasattr(find, "__wrapped__"):

        @functools.wraps(find)
        def find_unscoped(cfg_path: str, filename: str) -> tuple[str, str | None]:
            path, scope = find(cfg_path, filename)
            return path, None if scope == "snnssl_mm" else scope

        module.Config._get_cfg_path = staticmethod(find_unscoped)
    return Status("cured", "snnssl_mm is in mmengine's table of packages")


def metafiles() -> Status:
    """``_base_ = 'mmdet::...'``: each such line takes half a second.

    Cause: to find the file, mmengine parses all metafiles of the package, a hundred in
    mmdet, and asks them for a name without ``.py``, which none has; only then it looks
    into the package's ``.mim/configs``. Here it looks there first.
    Removable: when ``_get_external_cfg_path`` looks there first, too; in onedl-mmengine
    0.10.12 it does not.
    """
    module = module_of("mmengine.config.config")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    find = module._get_external_cfg_path
    if not hasattr(find, "__wrapped__"):

        @functools.wraps(find)
        def find_file_first(package_path: str, cfg_file: str) -> str:
            file = os.path.join(package_path, ".mim", "configs", cfg_file)
            return file if os.path.isfile(file) else find(package_path, cfg_file)

        module._get_external_cfg_path = find_file_first
    return Status("cured", "mmengine finds a package's configs without its metafiles")
