#!/usr/bin/env python3
"""Draw the loss parts, k-NN accuracy and firing rate of a run over its epochs.

usage: python tools/analysis/plot_training.py WORK_DIR [--out PNG]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from snnssl_mm.cli.arguments import picture
from snnssl_mm.cli.tooling import parse, run_folder, run_tool


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("work_dir", type=Path, help="work directory of the run")
    parser.add_argument(
        "--out", type=picture, help="picture; work_dirs/<run>/curves.png by default"
    )
    args = parse(parser)

    from snnssl_mm.analysis.plots.training_curves import plot_training

    print(
        plot_training(
            args.work_dir,
            args.out or run_folder(args.work_dir / "log", args.work_dir) / "curves.png",
        )
    )


if __name__ == "__main__":
    run_tool(main)
