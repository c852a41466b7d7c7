"""Workarounds for other projects' bugs, one function each.

Each function's docstring names the symptom (its first line), the cause, and when the
function can be removed. All are idempotent, cheap, and import nothing of OpenMMLab
unless it is installed, so that ``snnssl_mm.neurons`` works with torch alone. Their
:class:`Status` is what ``tools/check_env.py`` prints.
"""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from snnssl_mm import read_once, unpickling

MM_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", ["mmengine"]),
    "mmcv": ("onedl-mmcv", ["mmcv", "mmcv-lite", "mmcv-full"]),
    "mmdet": ("onedl-mmdetection", ["mmdet"]),
    "mmseg": ("onedl-mmsegmentation", ["mmsegmentation"]),
    "mmpretrain": ("onedl-mmpretrain", ["mmpretrain"]),
}
"""Module -> (maintained distribution, original distributions)."""


FLEXIBLE_RUNNER = "mmengine.runner._flexible_runner"


class Status(NamedTuple):
    """What a trap is like on this machine.

    Attributes:
        state: ``'cured'``: the bug is here, and this module or tools/setup_env.py works
            around it; ``'absent'``: the bug is not here; ``'not applicable'``: what it
            concerns is not used on this machine; ``'broken'``: the user must act.
        detail: One sentence: what was found, and the cure.
    """

    state: Literal["cured", "absent", "not applicable", "broken"]
    detail: str


def _installed(distribution: str) -> bool:
    """Tell whether a distribution is installed (its version is not parsed: slow)."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def mixed_distributions() -> Status:
    """Errors that name missing or wrong attributes anywhere in mmengine, mmcv, mmdet.

    Cause: the original distribution (``mmdet``) and the maintained one
    (``onedl-mmdetection``) install the same files; pip lets both in, and the files of
    the one that came last win, module by module.
    Removable: when the onedl distributions can declare the conflict to pip.

    Warns:
        RuntimeWarning: Both distributions of a module are installed.
    """
    mixed = []
    for maintained, originals in MM_DISTRIBUTIONS.values():
        if _installed(maintained):
            mixed += [(name, maintained) for name in originals if _installed(name)]
    if not mixed:
        return Status("absent", "no module comes from two distributions")
    both = ", ".join(f"{original} and {maintained}" for original, maintained in mixed)
    originals_found = " ".join(original for original, _ in mixed)
    maintained_found = " ".join(maintained for _, maintained in mixed)
    detail = (
        f"{both} overwrite each other's files; expected the onedl-* distributions "
        f"only: pip uninstall -y {originals_found}; then pip install --no-deps "
        f"--force-reinstall {maintained_found} (onedl-mmcv from the wheel of "
        "tools/build_mmcv.py)"
    )
    warnings.warn(detail, RuntimeWarning, stacklevel=2)
    return Status("broken", detail)


_torchvision_fragment: torch.library.Library | None = None  # must outlive its operators


def torchvision_operators() -> Status:
    """``import torchvision``: operator torchvision::nms does not exist.

    Cause: torchvision's compiled library does not load (a build for CUDA beside a CPU
    torch), but its Python code registers shapes for the operators that are in it.
    mmengine's Runner, mmpretrain and parts of spikingjelly import torchvision, for
    things other than these operators. Declaring them lets the import pass; a call
    still fails, and says that no kernel exists.
    Removable: when torchvision guards ``register_fake("torchvision::nms")`` by
    ``_has_ops()``; up to 0.29.1 it does not.
    """
    global _torchvision_fragment
    if _torchvision_fragment is not None:
        return Status("cured", "compiled library does not load; operators declared")
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return Status("not applicable", "torchvision is not installed")
    if not torch._C._dispatch_has_kernel("torchvision::nms"):
        # Loading is what torchvision does on import; a second time costs nothing.
        loader = (
            importlib.machinery.ExtensionFileLoader,
            importlib.machinery.EXTENSION_SUFFIXES,
        )
        finder = importlib.machinery.FileFinder(str(Path(spec.origin).parent), loader)
        for name in ("_C_stable", "_C"):  # from 0.29 on, and before
            library = finder.find_spec(name)
            if library is not None and library.origin is not None:
                with contextlib.suppress(OSError):  # what is registered then decides
                    torch.ops.load_library(library.origin)
    if torch._C._dispatch_has_kernel("torchvision::nms"):
        return Status("absent", "compiled library loads")
    _torchvision_fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        _torchvision_fragment.define(
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    return torchvision_operators()


def _config_packages() -> dict[str, str] | None:
    """Return mmengine's table of packages a ``_base_`` may name, if there is one."""
    if importlib.util.find_spec("mmengine") is None:
        return None
    from mmengine.config.utils import MODULE2PACKAGE

    table: dict[str, str] = MODULE2PACKAGE
    return table


def mmseg_configs() -> Status:
    """``_base_ = 'mmseg::...'``: mmsegmentation is not installed.

    Cause: mmengine asks for the distribution ``mmsegmentation``; the maintained one is
    called ``onedl-mmsegmentation``. Asked for ``mmseg``, it finds the module itself.
    Removable: when ``MODULE2PACKAGE['mmseg']`` of onedl-mmengine names something that
    is installed beside onedl-mmsegmentation; in 0.10.12 it does not.
    """
    packages = _config_packages()
    if packages is None or importlib.util.find_spec("mmseg") is None:
        return Status("not applicable", "mmengine or mmseg is not installed")
    if _installed("mmsegmentation"):
        return Status("absent", "mmsegmentation is installed under its original name")
    packages["mmseg"] = "mmseg"
    return Status("cured", "mmengine looks for the module mmseg")


def own_configs() -> Status:
    """``_base_ = 'snnssl_mm::...'``: mmengine does not support to load this config.

    Cause: mmengine knows OpenMMLab's own packages by a fixed table only. (A
    configuration can inherit so only after ``import snnssl_mm``; our tools do that.)
    Removable: when mmengine takes any installed package that has a ``.mim`` folder.
    """
    packages = _config_packages()
    if packages is None:
        return Status("not applicable", "mmengine is not installed")
    packages["snnssl_mm"] = "snnssl_mm"
    return Status("cured", "snnssl_mm is in mmengine's table of packages")


def multimodal_models() -> Status:
    """``import mmpretrain.models``: TypeError: NoneType takes no arguments.

    Cause: mmpretrain imports its multi-modal models where transformers is installed in
    any version from 4.28 on, and they need names that transformers 5 no longer has.
    Nothing of ours is multi-modal: mmpretrain is told that it cannot have them, and
    registers a placeholder with a message for each.
    Removable: when mmpretrain's ``WITH_MULTIMODAL`` has an upper bound; in
    onedl-mmpretrain 1.3.6 it does not.
    """
    if not _installed("transformers") or importlib.util.find_spec("mmpretrain") is None:
        return Status("not applicable", "transformers or mmpretrain is not installed")
    version = importlib.metadata.version("transformers")
    if int(version.partition(".")[0]) < 5:
        return Status("absent", f"transformers {version} has what mmpretrain imports")
    from mmpretrain.utils import dependency  # a second or two, with transformers 5 only

    dependency.WITH_MULTIMODAL = False
    return Status("cured", f"no multi-modal models with transformers {version}")


def activation_checkpointing() -> Status:
    """``activation_checkpointing=['backbone']`` trains nothing in the backbone.

    Cause: mmengine calls torch's re-entrant checkpoint (its default), which gives
    gradients only if an input requires one; images do not (mmengine issue 1425).
    Torch's warning about it is easily missed. mmengine.runner is slow to import, so
    this acts only once it is there: when the Runner imports us, and again in
    tools/train.py.
    Removable: when mmengine's ``wrap_forward`` passes ``use_reentrant=False``; in
    onedl-mmengine 0.10.12 it does not.
    """
    if importlib.util.find_spec("mmengine") is None:
        return Status("not applicable", "mmengine is not installed")
    module: Any = sys.modules.get("mmengine.runner.activation_checkpointing")
    if module is None:
        return Status("not applicable", "mmengine.runner is not imported yet")
    if not isinstance(module.checkpoint, functools.partial):
        module.checkpoint = functools.partial(module.checkpoint, use_reentrant=False)
    return Status("cured", "checkpoints are not re-entrant")


def whole_checkpoints() -> Status:
    """A kill or a full disk while a checkpoint is written: nothing is left to resume.

    Cause: mmengine writes over files in place; its CheckpointHook removes the previous
    checkpoint before the next is written, and empties ``last_checkpoint`` before it
    fills it; ``resume=True`` believes that file whatever it names. Here local files
    appear whole or not at all, the name ``CheckpointHook`` means
    :class:`snnssl_mm.whole_checkpoints.WholeCheckpointHook`, and resuming looks for
    the last checkpoint that is whole. Like :func:`activation_checkpointing` this
    waits for mmengine.runner. Folders of DeepSpeed are as they were.
    Removable: when ``LocalBackend.put`` of onedl-mmengine renames a complete file and
    ``CheckpointHook`` removes last; in 0.10.12 they do not.
    """
    if importlib.util.find_spec("mmengine") is None:
        return Status("not applicable", "mmengine is not installed")
    runner: Any = sys.modules.get("mmengine.runner.runner")
    if runner is None or not hasattr(runner, "Runner"):
        return Status("not applicable", "mmengine.runner is not imported yet")
    from mmengine.fileio import LocalBackend
    from mmengine.registry import HOOKS

    from snnssl_mm.resuming import last_whole_checkpoint
    from snnssl_mm.whole_checkpoints import WholeCheckpointHook
    from snnssl_mm.whole_files import write_whole

    def put(self: Any, obj: bytes, filepath: str | Path) -> None:
        write_whole(Path(filepath), obj)

    def put_text(
        self: Any, obj: str, filepath: str | Path, encoding: str = "utf-8"
    ) -> None:
        write_whole(Path(filepath), obj.encode(encoding))

    LocalBackend.put, LocalBackend.put_text = put, put_text
    HOOKS.register_module("CheckpointHook", True, WholeCheckpointHook)
    for name in ("mmengine.runner", "mmengine.runner.runner", FLEXIBLE_RUNNER):
        if name in sys.modules:
            vars(sys.modules[name])["find_latest_checkpoint"] = last_whole_checkpoint
    return Status("cured", "checkpoints are whole or not there, and removed last")


class _SafeLoaders(importlib.abc.MetaPathFinder):
    """Give mmengine's checkpoint module our reader as soon as somebody imports it."""

    module = "mmengine.runner.checkpoint"

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find that module, with a loader that puts our reader in."""
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_replace(module: Any) -> None:
            run(module)
            self.replace(module)

        spec.loader.exec_module = run_and_replace  # type: ignore[method-assign]
        return spec

    @staticmethod
    def replace(module: Any) -> None:
        """Put our reader in."""
        module._safe_torch_load = read_once.load
        module.load_url = unpickling.load_url


def safe_checkpoints() -> Status:
    """Loading a checkpoint, or ``--resume``, runs code that is hidden in the file.

    Cause: onedl-mmengine reads what torch's safe unpickler refuses once more without
    it, after a warning; what is behind a URL it unpickles unsafely at once; and
    ``Runner.resume`` runs the text ``meta['config']``. :mod:`snnssl_mm.unpickling`
    takes the place of both readers, as soon as mmengine.runner, which is slow to
    import, is there. It still allows mmengine's own classes, without which no training
    could be resumed, and checks what torch does not: the checksums.
    Removable: when mmengine's loaders raise instead of falling back, and
    ``load_url`` passes ``weights_only=True``; in onedl-mmengine 0.10.12 they do not.
    The checksums then move to :mod:`snnssl_mm.checkpoints`.
    """
    if importlib.util.find_spec("mmengine") is None:
        return Status("not applicable", "mmengine is not installed")
    if module := sys.modules.get(_SafeLoaders.module):
        _SafeLoaders.replace(module)
    elif not any(isinstance(finder, _SafeLoaders) for finder in sys.meta_path):
        sys.meta_path.insert(0, _SafeLoaders())
    return Status("cured", "checkpoints that would run code are refused")


def amp_optim_wrapper_cfg(dtype: str = "float16") -> dict[str, Any]:
    """Return the optimizer wrapper's settings that ``--amp`` stands for here.

    Args:
        dtype: ``'float16'`` or ``'bfloat16'``; a CPU always takes the latter.
    """
    if torch.cuda.is_available():
        # bf16 has float32's exponents; a scaler would only leave out steps with NaN
        scale = "dynamic" if dtype == "float16" else {"enabled": False}
        return {"type": "AmpOptimWrapper", "dtype": dtype, "loss_scale": scale}
    return {"type": "snnssl_mm.CpuAmpOptimWrapper"}


def cpu_amp() -> Status:
    """``--amp`` on a CPU: AmpOptimWrapper is only available training on gpu.

    Cause: mmengine's wrapper is built around CUDA's gradient scaler, which bf16 does
    not need. :class:`snnssl_mm.engine.amp.CpuAmpOptimWrapper` takes its place.
    Removable: when ``AmpOptimWrapper(dtype='bfloat16')`` runs on a CPU.
    """
    if torch.cuda.is_available():
        return Status("not applicable", "there is a GPU: AmpOptimWrapper works")
    return Status("cured", "--amp takes CpuAmpOptimWrapper (bf16; not for mmdet)")


TORCHRUN_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def init_cpu_process_group() -> bool:
    """Join gloo's process group if launched by torchrun on a machine without GPU.

    Call it before the Runner is built: the Runner then finds a group and makes none.

    Returns:
        Whether this process is one of several, or of one, on CPUs; then the Runner
        needs :func:`cpu_model_wrapper_cfg`.
    """
    if torch.cuda.is_available() or not os.environ.keys() >= TORCHRUN_VARIABLES:
        return False
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return True


def cpu_model_wrapper_cfg() -> dict[str, Any]:
    """Return ``model_wrapper_cfg`` for gloo; mmengine's default names a GPU."""
    return {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
    }


def cpu_process_group() -> Status:
    """``torchrun`` on a CPU: the Runner dies in ``torch.cuda.set_device``.

    Cause: mmengine's ``init_dist`` selects a CUDA device whatever the backend is, and
    its default model wrapper hands a device id to DistributedDataParallel.
    :func:`init_cpu_process_group` and :func:`cpu_model_wrapper_cfg` do without.
    Removable: when ``init_dist('pytorch', backend='gloo')`` works without CUDA.
    """
    if torch.cuda.is_available():
        return Status("not applicable", "there is a GPU: processes use NCCL")
    return Status("cured", "tools/train.py joins a gloo group before the Runner")


def full_state_dict_configs() -> tuple[Any, Any]:
    """Return how FSDP gathers whole weights, and optimizer states, in one process."""
    from torch.distributed.fsdp import FullOptimStateDictConfig, FullStateDictConfig

    options = {"offload_to_cpu": torch.cuda.is_available(), "rank0_only": True}
    return FullStateDictConfig(**options), FullOptimStateDictConfig(**options)


def cpu_strategy(strategy: Any) -> None:
    """Fit a strategy of mmengine's FlexibleRunner to processes on CPUs, see below."""
    if torch.cuda.is_available():
        return
    if hasattr(strategy, "state_dict_config"):  # FSDPStrategy
        wrapper = strategy.model_wrapper or {"type": "MMFullyShardedDataParallel"}
        strategy.model_wrapper = {**wrapper, "device_id": torch.device("cpu")}
        if strategy._is_full_state_dict():
            weights, states = full_state_dict_configs()
            strategy.state_dict_config = weights
            strategy.optim_state_dict_config = states
    elif hasattr(strategy, "model_wrapper"):  # DDPStrategy
        strategy.model_wrapper = cpu_model_wrapper_cfg()


def cpu_strategies() -> Status:
    """FlexibleRunner with DDPStrategy or FSDPStrategy on CPUs: no such device; a crash.

    Cause: both name a GPU for the wrapper. FSDP without one needs a ``torch.device``,
    which no config file can hold; and whole weights that it "offloads" to the CPU that
    they are on are memory which it then frees. :func:`cpu_strategy` sets both right.
    Removable: when both strategies leave the device to the wrapper without CUDA, and
    torch's FSDP copies whole weights that are on a CPU already.
    """
    if torch.cuda.is_available():
        return Status("not applicable", "there is a GPU: strategies use it")
    return Status("cured", "tools/train.py fits the strategy before training")


def sharded_optimizer() -> Status:
    """FSDPStrategy, ``--resume``: 'MMFullyShardedDataParallel' object has no ...

    Cause: mmengine hands torch's ``optim_state_dict_to_load`` its arguments in the
    order of torch 2.0 (state, model, optimizer); since 2.1 the state comes last.
    mmengine.runner is slow to import, so this acts only once it is there, as
    :func:`activation_checkpointing` does.
    Removable: when ``FSDPStrategy.load_optim_state_dict`` names its arguments; in
    onedl-mmengine 0.10.12 it does not.
    """
    module: Any = sys.modules.get("mmengine._strategy.fsdp")
    if module is None:
        return Status("not applicable", "mmengine's strategies are not imported yet")

    def load_optim_state_dict(self: Any, state_dict: dict[str, Any]) -> None:
        wrapper = self.optim_wrapper
        wrapper.load_state_dict(
            module.FSDP.optim_state_dict_to_load(
                model=self.model, optim=wrapper.optimizer, optim_state_dict=state_dict
            )
        )

    module.FSDPStrategy.load_optim_state_dict = load_optim_state_dict
    return Status("cured", "FSDP's optimizer state is loaded by name")


def deepspeed_optimizers() -> Status:
    """DeepSpeedStrategy: No module named 'deepspeed.runtime.fp16.onebit'.

    Cause: mmengine registers DeepSpeed's own optimizers, and DeepSpeed 0.19 no longer
    has some of them. AdamW is torch's and needs none, so what is missing is left out.
    Acts once mmengine's strategies are imported, as :func:`sharded_optimizer` does.
    Removable: when mmengine's ``register_deepspeed_optimizers`` passes over optimizers
    that DeepSpeed does not have; in onedl-mmengine 0.10.12 it does not.
    """
    module: Any = sys.modules.get("mmengine._strategy.deepspeed")
    if module is None or module.deepspeed is None:
        return Status("not applicable", "DeepSpeed is not installed, or not imported")
    register = module.register_deepspeed_optimizers
    if not hasattr(register, "__wrapped__"):

        @functools.wraps(register)
        def register_existing() -> list[str]:
            with contextlib.suppress(ImportError):
                return list(register())
            return []

        module.register_deepspeed_optimizers = register_existing
    return Status("cured", "DeepSpeed's optimizers are registered if it has them")


def cpu_sync_batch_norm() -> Status:
    """SyncBatchNorm expected input tensor to be on GPU (torchrun on a CPU).

    Cause: torch has no CPU kernel for it inside a process group. Nothing is done: a
    replacement would change results. Train with ``norm_cfg=dict(type='BN')`` there, or
    on one process, where the Runner turns SyncBN into BN.
    Removable: when ``torch.nn.SyncBatchNorm`` takes CPU tensors over gloo.
    """
    if torch.cuda.is_available():
        return Status("not applicable", "there is a GPU")
    return Status("not applicable", "only under torchrun: use norm type BN there")


class Workaround(NamedTuple):
    """A row of WORKAROUNDS: the function and whether :func:`apply` calls it."""

    function: Callable[[], Status]
    at_import: bool


WORKAROUNDS = (
    Workaround(mixed_distributions, at_import=True),
    Workaround(torchvision_operators, at_import=True),
    Workaround(mmseg_configs, at_import=True),
    Workaround(own_configs, at_import=True),
    Workaround(multimodal_models, at_import=True),
    Workaround(activation_checkpointing, at_import=True),
    Workaround(sharded_optimizer, at_import=True),
    Workaround(deepspeed_optimizers, at_import=True),
    Workaround(safe_checkpoints, at_import=True),
    Workaround(whole_checkpoints, at_import=True),
    Workaround(cpu_amp, at_import=False),
    Workaround(cpu_process_group, at_import=False),
    Workaround(cpu_strategies, at_import=False),
    Workaround(cpu_sync_batch_norm, at_import=False),
)
"""Every workaround; those not applied at import are asked for by tools/train.py."""


def apply() -> None:
    """Apply every workaround that acts at import; repeating it does no harm."""
    for workaround in WORKAROUNDS:
        if workaround.at_import:
            workaround.function()
