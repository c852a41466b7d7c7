"""mmpretrain beside newer libraries, and without a network."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import io
import warnings
from pathlib import Path

from snnssl_mm.compat.noise import unasked_metric
from snnssl_mm.compat.status import Status, installed, module_of
from snnssl_mm.compat.torchvision_operators import torchvision_operators


def multimodal_models() -> Status:
    """``import mmpretrain.models``: TypeError: NoneType takes no arguments.

    Cause: mmpretrain imports its multi-modal models where transformers is installed in
    any version from 4.28 on, and they need names that transformers 5 no longer has.
    Nothing of ours is multi-modal: mmpretrain is told that it cannot have them, and
    registers a placeholder with a message for each.
    Removable: when mmpretrain's ``WITH_MULTIMODAL`` has an upper bound; in
    onedl-mmpretrain 1.3.6 it does not.
    """
    if not installed("transformers") or importlib.util.find_spec("mmpretrain") is None:
        return Status("not applicable", "transformers or mmpretrain is not installed")
    version = importlib.metadata.version("transformers")
    if int(version.partition(".")[0]) < 5:
        return Status("absent", f"transformers {version} has what mmpretrain imports")
    module_of("mmpretrain.utils.dependency").WITH_MULTIMODAL = False
    return Status("cured", f"no multi-modal models with transformers {version}")


def import_mmpretrain(*parts: str) -> None:
    """Import parts of mmpretrain, also where their own import fails or prints.

    For parts of this package that are built on mmpretrain: unlike the workarounds it
    changes no attribute. Missing operators of torchvision are declared to torch, and
    what :func:`multimodal_models` sets is set back.

    Args:
        *parts: Such as ``'models'``.
    """
    torchvision_operators()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        unasked_metric()
        dependency = module_of("mmpretrain.utils.dependency")
        multimodal = dependency.WITH_MULTIMODAL
        multimodal_models()
        try:
            for part in parts:
                importlib.import_module(f"mmpretrain.{part}")
        finally:
            dependency.WITH_MULTIMODAL = multimodal


def dataset_downloads() -> Status:
    """CIFAR-10 is missing and there is no network: a traceback of urllib.

    Cause: mmpretrain's CIFAR and MNIST download themselves; what they raise then names
    neither the folder nor the file that would have helped.
    Removable: when ``mmpretrain.datasets.utils.download_url`` says where it looked; in
    onedl-mmpretrain 1.3.6 it does not.
    """
    if importlib.util.find_spec("mmpretrain") is None:
        return Status("not applicable", "mmpretrain is not installed")
    module = module_of("mmpretrain.datasets.utils")
    original = module.download_url
    if not hasattr(original, "__wrapped__"):

        @functools.wraps(original)
        def download_url(
            url: str, root: str, filename: str | None = None, md5: str | None = None
        ) -> None:
            try:
                original(url, root, filename, md5)
            except (OSError, RuntimeError) as error:
                name = filename or url.rpartition("/")[2]
                raise FileNotFoundError(
                    f"{name} is not in {Path(root).absolute()} and could not be "
                    f"downloaded ({error}): get {url}, put it there, and run this "
                    "again, or let data_root of the dataset name a folder that has it"
                ) from None

        module.download_url = download_url
    return Status("cured", "a download that fails says where the file is expected")
