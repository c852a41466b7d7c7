"""Mixed precision and several processes on machines without a GPU."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from snnssl_mm.compat.status import Status, has_gpu


def amp_optim_wrapper_cfg(dtype: str = "float16") -> dict[str, Any]:
    """Return the optimizer wrapper's settings for ``--amp`` on this machine.

    Args:
        dtype: ``'float16'`` or ``'bfloat16'``; a CPU always uses the latter.
    """
    if has_gpu():
        # bf16 has float32's exponents; a scaler would only skip steps with NaN
        scale = "dynamic" if dtype == "float16" else {"enabled": False}
        return {"type": "AmpOptimWrapper", "dtype": dtype, "loss_scale": scale}
    return {"type": "snnssl_mm.CpuAmpOptimWrapper"}


def cpu_amp() -> Status:
    """``--amp`` on a CPU: AmpOptimWrapper is only available training on gpu.

    Cause: mmengine's wrapper is built around CUDA's gradient scaler, which bf16 does
    not need. :class:`snnssl_mm.engine.amp.CpuAmpOptimWrapper` takes its place.
    Removable: when ``AmpOptimWrapper(dtype='bfloat16')`` runs on a CPU.
    """
    if has_gpu():
        return Status("not applicable", "there is a GPU: AmpOptimWrapper works")
    return Status("cured", "--amp takes CpuAmpOptimWrapper (bf16; not for mmdet)")


TORCHRUN_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
SLURM_VARIABLES = {
    "RANK": "SLURM_PROCID",
    "WORLD_SIZE": "SLURM_NTASKS",
    "LOCAL_RANK": "SLURM_LOCALID",
}


def init_cpu_process_group(launcher: str = "pytorch") -> bool:
    """Join gloo's process group if launched by torchrun or srun without a GPU.

    Call it before the Runner is built, which then uses this group.

    Args:
        launcher: ``'pytorch'`` for torchrun, ``'slurm'`` for srun; with others nothing
            is done.

    Returns:
        Whether the launcher started this process on a CPU; if so, the Runner needs
        :func:`cpu_model_wrapper_cfg`.
    """
    if has_gpu() or launcher not in ("pytorch", "slurm"):
        return False
    if launcher == "slurm" and os.environ.keys() >= set(SLURM_VARIABLES.values()):
        set_torchrun_variables()
    if not os.environ.keys() >= TORCHRUN_VARIABLES:
        return False
    import torch

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return True


def set_torchrun_variables() -> None:
    """Set torchrun's variables from those of Slurm, as mmengine's ``init_dist`` does.

    An address and a port that are set already are kept.
    """
    for name, of_slurm in SLURM_VARIABLES.items():
        os.environ[name] = os.environ[of_slurm]
    os.environ.setdefault("MASTER_PORT", "29500")
    if "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]
        hosts = subprocess.run(command, check=True, capture_output=True, text=True)
        os.environ["MASTER_ADDR"] = hosts.stdout.split()[0]


def cpu_model_wrapper_cfg() -> dict[str, Any]:
    """Return ``model_wrapper_cfg`` for gloo; mmengine's default names a GPU."""
    return {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
    }


def cpu_process_group() -> Status:
    """``torchrun`` or srun on a CPU: the Runner dies in ``torch.cuda.set_device``.

    Cause: mmengine's ``init_dist`` selects a CUDA device whatever the backend is, and
    its default model wrapper passes a device id to DistributedDataParallel.
    :func:`init_cpu_process_group` and :func:`cpu_model_wrapper_cfg` avoid both.
    Removable: when ``init_dist('pytorch', backend='gloo')`` works without CUDA.
    """
    if has_gpu():
        return Status("not applicable", "there is a GPU: processes use NCCL")
    return Status("cured", "snnssl train joins a gloo group before the Runner")


def cpu_sync_batch_norm() -> Status:
    """SyncBatchNorm expected input tensor to be on GPU (torchrun on a CPU).

    Cause: torch has no CPU kernel for it inside a process group. Nothing is done: a
    replacement would change results. Train with ``norm_cfg=dict(type='BN')`` there, or
    on one process, where the Runner turns SyncBN into BN.
    Removable: when ``torch.nn.SyncBatchNorm`` takes CPU tensors over gloo.
    """
    if has_gpu():
        return Status("not applicable", "there is a GPU")
    return Status("not applicable", "only under torchrun: use norm type BN there")
