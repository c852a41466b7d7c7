#!/usr/bin/env python3
"""What helps and what does not: a grid of small pretraining runs on digit scenes.

usage: python tools/ablation.py [--grid "loss neuron" --grid "steps=1,2,4"] [--seeds 0]

Axes: loss (flat, btl, ctl), neuron (lif on both views, mixed, analog on both), bn
(pooled, split), pairs (all, cross-view) and steps (T). A --grid crosses its axes with
each other and leaves the others at the method's choice; without one, loss x neuron is
crossed and bn, pairs and steps are varied one by one. Every run is judged twice, with
BatchNorm statistics as trained and recalibrated on the spiking path.

Runs go in parallel, one a core. Results are appended as they come; the same command
again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from snnssl_mm.cli.arguments import positive, seed_number
from snnssl_mm.cli.children import ChildError, run_child, stop_children
from snnssl_mm.cli.tooling import (
    command_line,
    errors_as_sentences,
    parse,
    read_config,
    require_writable,
    run_tool,
)

if TYPE_CHECKING:
    from snnssl_mm.analysis.ablation import Cell
    from snnssl_mm.recording.results_file import ResultsFile


CONFIG = "configs/selfsup/spikformer_ctl_5e.py"
TOOLS = Path(__file__).resolve().parent
KEY = ("config", "seed")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default=CONFIG, help=f"the job ({CONFIG})")
    parser.add_argument(
        "--grid", action="append", metavar="AXES", help="such as 'loss=ctl,btl neuron'"
    )
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--jobs",
        type=positive(int),
        default=os.cpu_count() or 1,
        help="runs at a time (cores)",
    )
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/ablation"))
    parser.add_argument(
        "--out",
        type=Path,
        help="JSON file to add to, picture beside it; WORK_DIR/ablation.json",
    )
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)
    return parse(parser)


def write_config(config: str, cell: Cell, seed: int, folder: Path) -> Path:
    """Write the config of a run, which tools/train.py can be given by hand, too."""
    from mmengine.config import Config

    cfg = Config.fromfile(config)
    cfg.merge_from_dict({**cell.config_options(), "randomness.seed": seed})
    file = folder / "config.py"
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(file)
    return file


def evaluate(folder: Path) -> dict[str, Any]:
    """Probe the checkpoint that a run ended with."""
    from mmengine.config import Config

    from snnssl_mm.analysis.ablation import STATISTICS
    from snnssl_mm.probing.probes import (
        eval_loaders,
        knn_accuracy,
        labelled_features,
        linear_accuracy,
        load_model,
    )
    from snnssl_mm.recording.probe_names import FROZEN

    cfg = Config.fromfile(folder / "config.py")
    model = load_model(cfg, Path(folder, "last_checkpoint").read_text().strip())
    loaders = eval_loaders(cfg)
    results: dict[str, Any] = {}
    for kind in STATISTICS:
        features = labelled_features(model, loaders, kind == STATISTICS[0])
        accuracies = knn_accuracy(features), linear_accuracy(features)
        results[kind] = dict(zip(FROZEN, accuracies, strict=True))
    return results


def run(command: list[str], log: Path, threads: int) -> None:
    """Run a program; its output goes to a file.

    Raises:
        ChildError: If it fails, with its last lines.
    """
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("a") as out:
        try:
            run_child(command, log, stdout=out, stderr=out, env=env)
        except ChildError as error:
            lines = "\n".join(log.read_text().splitlines()[-5:])
            raise ChildError(f"{error}:\n{lines}") from None


def compute(args: argparse.Namespace, task: tuple[Cell, int]) -> dict[str, Any]:
    """Pretrain and evaluate one cell with one seed; return its row."""
    from snnssl_mm.recording.run_log import read_scalars

    cell, seed = task
    folder = args.work_dir / Path(args.config).stem / f"{cell}_seed{seed}"
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    start = time.monotonic()
    config = write_config(args.config, cell, seed, folder)
    train = [str(TOOLS / "train.py"), str(config), "--work-dir", str(folder)]
    run([*train, "--resume"], folder / "output.txt", threads)
    judge = [str(TOOLS / "ablation.py"), "--evaluate", str(folder)]
    run(judge, folder / "output.txt", threads)
    last = [row for row in read_scalars(folder)[-1] if "loss" in row][-1]
    # Without spikes in training, on the analog path of both views, there is no rate.
    health = {name: last.get(name) for name in ("embedding_std", "firing_rate")}
    return {
        "config": args.config,
        "seed": seed,
        **cell._asdict(),
        **json.loads((folder / "probes.json").read_text()),
        **health,
        "epochs": last["epoch"],
        "iterations": last["step"],
        "seconds": round(time.monotonic() - start),
        "threads": threads,
        "command": command_line(),
    }


def run_all(
    args: argparse.Namespace, tasks: list[tuple[Cell, int]], results: ResultsFile
) -> None:
    """Compute what is missing, as many at a time as there are jobs."""
    from snnssl_mm.analysis.ablation import Cell, labels_of

    missing = [
        (cell, seed)
        for cell, seed in tasks
        if results.find(config=args.config, seed=seed, **cell._asdict()) is None
    ]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with (
        Progress(*columns, speed_estimate_period=3600) as progress,
        ThreadPoolExecutor(args.jobs) as pool,
    ):
        bar = progress.add_task(
            "runs", total=len(tasks), completed=len(tasks) - len(missing)
        )
        pending = [pool.submit(compute, args, task) for task in missing]
        try:
            for done in as_completed(pending):
                row = done.result()
                results.append(row)
                name = ", ".join(labels_of(Cell(*(row[a] for a in Cell._fields))))
                accuracy = 100 * row["recalibrated"]["linear"]
                progress.console.print(
                    f"{name}, seed {row['seed']}: linear {accuracy:.1f} % "
                    f"in {row['seconds']} s",
                    highlight=False,
                )
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_children()
            raise


def main() -> None:
    """Run the grid, or judge one of its runs."""
    args = parse_args()

    from snnssl_mm.analysis.ablation import (
        DEFAULT_GRIDS,
        Cell,
        ablation_table,
        cells_of,
        plot_ablation,
    )
    from snnssl_mm.recording.results_file import ResultsFile

    if args.evaluate:
        results = json.dumps(evaluate(args.evaluate))
        (args.evaluate / "probes.json").write_text(results + "\n")
        return
    out = args.out or args.work_dir / "ablation.json"
    with errors_as_sentences():
        require_writable(out, args.work_dir / "any")
        cells = cells_of(args.grid or DEFAULT_GRIDS)
        results_file = ResultsFile(out, "ablation", (*KEY, *Cell._fields))
        read_config(args.config)
    tasks = [(cell, seed) for seed in args.seeds for cell in cells]
    run_all(args, tasks, results_file)
    rows = [row for row in results_file.rows if row["config"] == args.config]
    ablation_table(rows).print()
    print(f"wrote {out} and {plot_ablation(rows, out.with_suffix('.png'))}")


if __name__ == "__main__":
    run_tool(main, again="")
