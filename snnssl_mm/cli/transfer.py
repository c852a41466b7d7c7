"""Transfer checkpoints to a suite of downstream tasks, compared with random weights.

Each task is trained and evaluated for every checkpoint and for random weights, with
the same schedule, seeds and labelled images. The suites of the package:

    digits          embedded digit scenes: k-NN, linear, few labels, fine-tuning, Mask
                    R-CNN, Semantic FPN (no download, the default)
    digits_spiking  the same scenes: ordinary necks and heads against spiking ones
    events          simulated recordings of digits: k-NN, linear, few labels, Mask
                    R-CNN, Semantic FPN (no download)
    nmnist          N-MNIST (--data): k-NN, linear, with few labels
    cifar           CIFAR-10 (--data): k-NN, linear, few labels, fine-tuning
    cells           boxes of a folder in COCO format (--data), by RetinaNet
    coco_ade        COCO, ADE20K and ImageNet, for a Spikformer-8-512

A suite is a short config; your own is given by its path and adds a task by naming its
config, see configs/transfer/digits.py.

Examples:
  snnssl transfer work_dirs/spikformer_ctl/epoch_28.pth
  snnssl transfer ctl=a/epoch_28.pth ctl=b/epoch_28.pth btl=c/epoch_28.pth --seeds 0 1
  snnssl transfer ctl=a.pth --suite cells --data data/blood-cells --tasks detection
  snnssl transfer ctl=a.pth --suite my_suite.py --slurm partition=gpu gpus_per_node=1

Runs are executed in parallel, and each result is written when it comes; run the same
command again to continue. Runs whose settings or weights changed are repeated.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import positive, results_file, seed_number
from snnssl_mm.cli.shared.cfg_options import KeyValues
from snnssl_mm.cli.shared.config_files import (
    find_config,
    read_config,
    require_known_options,
)
from snnssl_mm.cli.shared.options import add_trust_argument
from snnssl_mm.cli.shared.transfer_runs import run_missing
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snnssl_mm.recording.results_file import ResultsFile
    from snnssl_mm.transfer.jobs import Job
    from snnssl_mm.transfer.suites import Suite

RESUME_OPTION = ""
SUITES = "configs/transfer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="[NAME=]CKPT",
        help="pretrained checkpoints, and their names in the tables; those of one name "
        "are seeds of one method: the i-th seed uses the i-th of them, so that there "
        "are as many as seeds; a single one is used by all",
    )
    parser.add_argument(
        "--suite", default="digits", help="name or config file of the suite (digits)"
    )
    parser.add_argument(
        "--seeds", type=seed_number, nargs="+", help="seeds; the suite's by default"
    )
    parser.add_argument("--tasks", nargs="+", help="only these tasks of the suite")
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=fraction,
        help="only these fractions of the labelled images, from 0 to 1, or numbers of "
        "labels a class, such as 10",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="[TASK=]FOLDER",
        help="folder of images to use in place of the configs' data_root, of all tasks "
        "or of one",
    )
    parser.add_argument(
        "--jobs",
        type=positive(int),
        help="number of parallel runs (number of GPUs, or of cores without any)",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs/transfer"),
        help="folder for configs, logs and checkpoints; work_dirs/transfer by default",
    )
    parser.add_argument(
        "--out",
        type=results_file,
        help="JSON file to append to; WORK_DIR/<suite>.json by default",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValues,
        default={},
        metavar="[TASK:]KEY=VALUE",
        help="override settings of the configs of all tasks, or of one, such as "
        "detection:train_cfg.max_epochs=6",
    )
    parser.add_argument(
        "--slurm",
        nargs="*",
        action=KeyValues,
        metavar="KEY=VALUE",
        help="execute the runs as a Slurm job array with these options of sbatch, such "
        "as partition=gpu time=120 cpus_per_task=8; needs submitit",
    )
    add_trust_argument(parser)
    parser.add_argument("--execute", type=Path, nargs="+", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Run the missing jobs of a suite, or execute jobs as a child process."""
    from snnssl_mm.transfer.execution import execute_all

    if not gc.get_freeze_count():  # mmengine collects garbage for each dataset
        gc.freeze()
    if args.execute:
        execute_all(args.execute)
        return
    from snnssl_mm.recording.file_lock import single_writer
    from snnssl_mm.recording.results_file import ResultsFile
    from snnssl_mm.transfer.jobs import KEY

    with errors_as_messages():
        suite = load_suite(args.suite)
        require_tasks_of_options(suite, args)
        suite = suite.only(args.tasks, args.fractions)
        out = args.out or args.work_dir / f"{suite.name}.json"
        require_writable(out, args.work_dir / "any")
    with single_writer(out):
        with errors_as_messages():
            results = ResultsFile(out, "transfer", KEY)
            jobs = plan(args, suite, results)
        try:
            run_missing(args, jobs, results)
        finally:
            show(results, jobs, out)


def show(results: ResultsFile, jobs: Sequence[Job], out: Path) -> None:
    """Print the tables of the jobs, and write the leaderboard of comparable rows."""
    from snnssl_mm.analysis.transfer_leaderboard import leaderboard
    from snnssl_mm.analysis.transfer_table import transfer_tables
    from snnssl_mm.transfer.jobs import comparable_rows

    rows, others = comparable_rows(jobs, results)
    for table in transfer_tables(rows):
        table.print()
    if rows:
        report = {"machine": results.machine, "rows": [*rows, *others]}
        page = leaderboard(report, out.with_suffix(".html"))
        print(f"rows: {out}\nleaderboard: {page}")
    if hidden := len(results.rows) - len(rows) - len(others):
        print(f"{hidden} rows of other settings or weights are left out")


def fraction(text: str) -> float:
    """Convert a fraction of the labelled images, or a number of labels a class.

    Raises:
        ArgumentTypeError: If it is not in (0, 1], and no integer above 1.
    """
    value = float(text)
    if not 0 < value <= 1 and (value < 2 or value % 1):
        raise argparse.ArgumentTypeError(
            "expected a fraction above 0 and at most 1, or an integer above 1 as the "
            f"number of labels a class, got {text}; 10 % is 0.1"
        )
    return value


def load_suite(name: str) -> Suite:
    """Read a suite by its name or file.

    Raises:
        SuiteError: If there is none; lists the names.
    """
    from snnssl_mm.transfer.suites import SuiteError, read_suite, require_name

    file = find_config(f"{SUITES}/{name}.py")
    if Path(name).is_file():
        file = name
    elif name.endswith(".py"):
        file = find_config(name)
    if not Path(file).is_file():
        folder = Path(find_config(f"{SUITES}/digits.py")).parent
        known = sorted(path.stem for path in folder.glob("*.py"))
        require_name(name, known, "there is no suite")
        raise SuiteError(f"{file} does not exist")
    return read_suite(read_config(file), Path(file), find_config)


def require_tasks_of_options(suite: Suite, args: argparse.Namespace) -> None:
    """Refuse ``TASK:KEY=VALUE`` and ``TASK=FOLDER`` of an unknown task.

    Raises:
        SuiteError: If the suite has no such task.
    """
    from snnssl_mm.transfer.entries import split_name
    from snnssl_mm.transfer.suites import require_name

    known = [task.name for task in suite.tasks]
    named = [(f"--data {text}", split_name(text)[0]) for text in args.data]
    for option in args.cfg_options:
        named.append((f"--cfg-options {option}", option.rpartition(":")[0]))
    for text, name in named:
        if name:
            require_name(name, known, f"{text}: there is no task")


def plan(args: argparse.Namespace, suite: Suite, results: ResultsFile) -> list[Job]:
    """Return the jobs, after checks of all tasks with missing rows.

    Raises:
        SuiteError: If there is no checkpoint, or a task cannot be run.
    """
    from snnssl_mm.transfer.entries import read_entries, split_name
    from snnssl_mm.transfer.jobs import expand
    from snnssl_mm.transfer.readiness import require_ready
    from snnssl_mm.transfer.suites import SuiteError
    from snnssl_mm.transfer.task_configs import task_config

    if not args.checkpoints:
        raise SuiteError(
            "there is no checkpoint; give one or more: snnssl transfer NAME=CKPT ..."
        )
    entries = read_entries(args.checkpoints, suite.baselines)
    files = {task.config: read_config(task.config) for task in suite.tasks}
    for cfg in files.values():
        general = {k: v for k, v in args.cfg_options.items() if ":" not in k}
        require_known_options(general, cfg)
    folders = dict(split_name(text) for text in args.data)
    configs = {
        task.name: task_config(
            task,
            files[task.config],
            args.cfg_options,
            folders.get(task.name, folders.get("")),
        )
        for task in suite.tasks
    }
    jobs = expand(suite, entries, args.seeds or suite.seeds, configs)
    missing = {job.task.name for job in jobs if not job.find(results)}
    tasks = [task for task in suite.tasks if task.name in missing]
    if tasks:
        print(f"checking {', '.join(task.name for task in tasks)}", flush=True)
    require_ready(tasks, configs, entries, batches=args.slurm is None)
    return jobs
