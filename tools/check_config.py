#!/usr/bin/env python3
"""Find mistakes in a config before training: names, channels, weights, schedule, data.

usage: python tools/check_config.py configs/selfsup/spikformer_ctl.py [options]

Ends with status 1 if there is an error; warnings may be meant.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.tooling import (
    add_config_arguments,
    errors_as_sentences,
    load_config,
    parse,
    run_tool,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    parser.add_argument(
        "--no-data",
        action="store_true",
        help="pass over data and weights that are not on this machine",
    )
    parser.add_argument(
        "--all-files",
        action="store_true",
        help="load every image and mask, not a sample of them",
    )
    return parse(parser)


def main() -> int:
    """Print a line for every problem; return 1 if there is an error."""
    args = parse_args()
    cfg = load_config(args)
    from snnssl_mm.checks.config import check_config  # slow: mmengine's runner

    with errors_as_sentences():
        files = {"max_files": None} if args.all_files else {}
        problems = check_config(cfg, data=not args.no_data, **files)
    errors = sum(problem.level == "error" for problem in problems)
    for problem in sorted(problems):
        print(problem)
    print(f"{args.config}: {errors} errors, {len(problems) - errors} warnings")
    return int(errors > 0)


if __name__ == "__main__":
    run_tool(main)
