#!/usr/bin/env python3
"""Compile the CUDA kernels and report registers, spills, vector accesses, occupancy.

usage: python benchmarks/kernel_resources.py [--cuobjdump PATH] [--out FILE]

Needs no GPU: NVRTC's wheel compiles for any architecture. Loads and stores are counted
in the machine code if ``cuobjdump`` is there (wheel ``nvidia-cuda-cuobjdump``). The
occupancy is what registers and shared memory allow, not a measurement.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from nvrtc import Nvrtc
from torch import Tensor

from snnssl_mm.neurons import MixedILIF, MixedLIF, Normalization
from snnssl_mm.neurons.kernels import cuda_source, norm_source
from snnssl_mm.neurons.kernels.cuda_source import Launch
from snnssl_mm.neurons.kernels.layout import empty_by_channel, empty_pooled
from snnssl_mm.neurons.kernels.norm_source import Reduction, Walk
from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH
from snnssl_mm.recording.table import Table

OUT = Path(__file__).parent / "results" / "kernel_resources.json"
SHAPE = (32, 64, 56, 56)  # a stage of Spikformer-4-384; any that vectors divide
SHOWN = "rectangle"  # the default surrogate, with all rows; of others the extremes
INTEGER = "integer"  # the integer neuron, in place of a surrogate
MOST_BLOCKS = 1056  # decides on slices, not on code


class Multiprocessor(NamedTuple):
    """Limits of one, from the CUDA C++ Programming Guide's table per architecture."""

    threads: int
    shared_bytes: int
    registers: int = 65536


ARCHITECTURES = {
    "sm_80": Multiprocessor(2048, 164 * 1024),
    "sm_90": Multiprocessor(2048, 228 * 1024),
}


def occupancy(
    registers: int, shared_bytes: int, threads: int, of: Multiprocessor
) -> float:
    """Share of a multiprocessor's threads that can be resident at once."""
    per_block = -(-registers // 8) * 8 * threads  # handed out by eights
    blocks = min(of.threads // threads, of.registers // per_block)
    if shared_bytes:
        blocks = min(blocks, of.shared_bytes // (shared_bytes + 1024))
    return blocks * threads / of.threads


def launches(
    steps: int, dtype: torch.dtype, channels_last: bool, surrogate: str
) -> Iterator[Launch]:
    """Every kernel, as a stage in training launches it, for tensors without memory."""
    if surrogate == INTEGER:
        p = MixedILIF(backend="torch").for_kernels
    else:
        p = MixedLIF(surrogate=surrogate, backend="torch").for_kernels
    x: Tensor = torch.empty((steps, *SHAPE), dtype=dtype, device="meta")
    if channels_last:
        x = x.movedim(2, -1).contiguous().movedim(-1, 2)
    yield cuda_source.forward_launch(x, x, p, "dual")
    yield cuda_source.backward_launch(x, x, x, p)
    values = torch.empty(2, SHAPE[1], device="meta")
    norm = Normalization(values, values, values[0], values[0], 1e-5, True)
    short = Walk.over(x, 2, cuda_source.input_registers(x), (), MOST_BLOCKS)
    of_channel = norm_source.GRADIENT_REGISTERS
    long = Walk.over(x, 2, 2 * steps, (), MOST_BLOCKS, of_channel)
    counters, affine = values[0].int(), (values[0], values[0])
    totals = torch.empty(2, 2, SHAPE[1], device="meta")
    reductions = [Reduction(walk.sums_for(x), counters) for walk in (short, long)]
    yield norm_source.moments_launch(x, (values, values), None, reductions[0], short)
    for current in (x, empty_by_channel(x, 1, dtype)):  # the second is held
        yield norm_source.norm_forward_launch(current, x, norm, short, p, "dual")
        outputs: list[tuple[Tensor, Tensor | None]] = [(x, None)]
        if channels_last:
            small = empty_pooled(x, steps, dtype)
            window = torch.empty_like(small, dtype=torch.uint8)
            kept = cuda_source.input_registers(current)
            kept += norm_source.POOL_REGISTERS * steps
            walk = Walk.over(small, 2, kept, (), MOST_BLOCKS, last=True)
            yield norm_source.norm_pool_forward_launch(
                current, small, window, norm, walk, p, "dual"
            )
            outputs.append((small, window))
        results = (totals, *affine)
        of_channels, of_input = (results, reductions[1]), (current, totals, 1.0)
        for grad in outputs:  # the second is max-pooled
            common = (*grad, current)
            yield norm_source.sums_launch(*common, *of_channels, norm, long, p)
            yield norm_source.norm_backward_launch(*common, *of_input, norm, long, p)


def accesses(cubin: bytes, cuobjdump: str) -> dict[str, int]:
    """Count loads and stores of global memory by their width, and of local memory."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [cuobjdump, "-sass", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.findall(r"\b(LDG|STG|LDL|STL)\.?([.A-Z0-9]*)", listing.stdout)
    counts: Counter[str] = Counter()
    for operation, modifiers in found:
        width = re.search(r"\b(8|16|64|128)\b", re.sub(r"[US](?=8|16)", "", modifiers))
        counts[f"{operation}.{width[1] if width else 32}"] += 1
    return dict(sorted(counts.items()))


def report(
    compiler: Nvrtc, launch: Launch, architecture: str, cuobjdump: str | None
) -> dict[str, Any]:
    """Compile a launch's kernel and read what it takes."""
    options = (*launch.options, "--ptxas-options=-v")
    compiled = compiler.compile(launch.name, options, architecture)
    number = {
        name: int(found[1]) if (found := re.search(pattern, compiled.log)) else 0
        for name, pattern in {
            "registers": r"Used (\d+) registers",
            "spill_stores_bytes": r"(\d+) bytes spill stores",
            "spill_loads_bytes": r"(\d+) bytes spill loads",
            "shared_bytes": r"(\d+) bytes smem",
        }.items()
    }
    if not number["registers"]:
        raise RuntimeError(f"{launch.name} for {architecture}: {compiled.log}")
    limits = ARCHITECTURES[architecture]
    used = (number["registers"], number["shared_bytes"], launch.threads)
    share = occupancy(*used, limits)
    seen = accesses(compiled.cubin, cuobjdump) if cuobjdump else None
    return {
        **number,
        "threads": launch.threads,
        "occupancy": round(share, 3),
        "accesses": seen,
    }


def macro(launch: Launch, name: str) -> str:
    """Value of a macro that a launch sets; 0 where it does not."""
    options = dict(o[2:].split("=") for o in launch.options if o.startswith("-D"))
    return options.get(name, "0")


def rows(
    compiler: Nvrtc, surrogate: str, cuobjdump: str | None
) -> Iterator[dict[str, Any]]:
    """One row per kernel, layout, type, number of steps and architecture."""
    cases = itertools.product(
        ARCHITECTURES, (torch.float32, torch.bfloat16), (4, 8, 16), (False, True)
    )
    for architecture, dtype, steps, channels_last in cases:
        for launch in launches(steps, dtype, channels_last, surrogate):
            if channels_last and launch.name.startswith("mixed"):
                continue  # the same kernel in both layouts
            yield {
                "kernel": launch.name,
                "held": macro(launch, "HELD") == "1",
                "pooled": "pool" in launch.name or macro(launch, "POOLED") == "1",
                "channels_last": channels_last,
                "dtype": str(dtype).removeprefix("torch."),
                "steps": steps,
                "architecture": architecture,
                "neurons_per_thread": int(macro(launch, "NEURONS_PER_THREAD")),
                **report(compiler, launch, architecture, cuobjdump),
            }


def extremes(results: list[dict[str, Any]]) -> dict[str, int | list[str]]:
    """Most registers, and whatever spills."""
    fields = ("kernel", "architecture", "dtype", "steps", "spill_stores_bytes")
    return {
        "kernels": len(results),
        "most_registers": max(row["registers"] for row in results),
        "spilling": [
            " ".join(str(row[field]) for field in fields)
            for row in results
            if row["spill_stores_bytes"] or row["spill_loads_bytes"]
        ],
    }


def print_table(results: list[dict[str, Any]]) -> None:
    """Print all rows."""
    Table(list(results[0]), [[*map(str, row.values())] for row in results]).print()


def main() -> None:
    """Compile, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cuobjdump", default=shutil.which("cuobjdump"))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    compiler = Nvrtc.find()
    if compiler is None:
        raise SystemExit("NVRTC is not there; pip install nvidia-cuda-nvrtc")
    results = {
        name: list(rows(compiler, name, args.cuobjdump if name == SHOWN else None))
        for name in (*DEFAULT_WIDTH, INTEGER)
    }
    print_table(results[SHOWN])
    content = {
        "command": shlex.join(["python", *map(str, sys.argv)]),
        "compiler": f"NVRTC {compiler.version}",
        "note": "from the compiler, not measured; occupancy as registers and shared "
        "memory allow",
        "surrogates": {name: extremes(found) for name, found in results.items()},
        "shown": SHOWN,
    }
    text = json.dumps(content, indent=1).removesuffix("\n}")
    lines = ",\n  ".join(json.dumps(row) for row in results[SHOWN])
    args.out.write_text(f'{text},\n "results": [\n  {lines}\n ]\n}}\n')


if __name__ == "__main__":
    main()
