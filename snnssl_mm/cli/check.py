"""Find mistakes in a config before training: names, channels, weights, schedule, data.

The exit status is 1 if there is an error; warnings may be intended.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments
from snnssl_mm.cli.shared.user_errors import errors_as_messages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--no-data",
        action="store_true",
        help="ignore data and weights that are not on this machine",
    )
    parser.add_argument(
        "--all-files",
        action="store_true",
        help="load every image and mask instead of a sample of them",
    )


def run(args: argparse.Namespace) -> int:
    """Print one line per problem; return 1 if there is an error."""
    cfg = load_config(args)
    from snnssl_mm.checks.config import check_config  # slow: mmengine's runner
    from snnssl_mm.checks.config.problem import counted

    with errors_as_messages():
        files = {"max_files": None} if args.all_files else {}
        problems = check_config(cfg, data=not args.no_data, **files)
    errors = sum(problem.level == "error" for problem in problems)
    for problem in sorted(problems):
        print(problem)
    counts = counted(errors, "error"), counted(len(problems) - errors, "warning")
    print(f"{args.config}: {', '.join(counts)}")
    return int(errors > 0)
