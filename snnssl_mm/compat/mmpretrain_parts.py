"""mmpretrain with newer libraries, and without a network."""

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
    This package has no multi-modal models: the switch ``WITH_MULTIMODAL`` is set to
    False, and mmpretrain registers a placeholder with a message for each.
    Removable: when mmpretrain's ``WITH_MULTIMODAL`` has an upper bound for the version
    of transformers; in onedl-mmpretrain 1.3.6 it has none.
    """
    if not installed("transformers") or importlib.util.find_spec("mmpretrain") is None:
        return Status("not applicable", "transformers or mmpretrain is not installed")
    version = importlib.metadata.version("transformers")
    if int(version.partition(".")[0]) < 5:
        return Status("absent", f"mmpretrain works with transformers {version}")
    module_of("mmpretrain.utils.dependency").WITH_MULTIMODAL = False
    return Status("cured", f"no multi-modal models with transformers {version}")


def import_mmpretrain(*parts: str) -> None:
    """Import parts of mmpretrain where a plain import would fail or print.

    For modules of this package that are built on mmpretrain. Unlike the workarounds it
    changes no attribute: missing operators of torchvision are declared to torch, and
    the switch that :func:`multimodal_models` sets is restored.

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

    Cause: mmpretrain's CIFAR and MNIST download themselves; their error names neither
    the folder nor the file that is missing.
    Removable: when the error of ``mmpretrain.datasets.utils.download_url`` names the
    folder; in onedl-mmpretrain 1.3.6 it does not.
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
                    f"downloaded ({error}): copy {url} there and run this again, or "
                    "set data_root of the dataset to a folder that has it"
                ) from None

        module.download_url = download_url
    return Status("cured", "a failed download names the folder of the missing file")
