"""Write a report about a pretrained checkpoint as one HTML page and as Markdown.

Other commands measure probes, time steps, firing rates, energy and representation
health; their results are kept in OUT, so that running the same command again continues
an interrupted report. Pictures show spikes, maps and features. The page needs no other
file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared import children
from snnssl_mm.cli.shared.arguments import positive
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import (
    add_out_argument,
    add_probes_argument,
    add_trust_argument,
)
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.analysis.report.report import Report, Section
    from snnssl_mm.recording.table import Table


RESUME_OPTION = ""
IMAGES = 8  # in the spike rasters
MEASURED = ("firing_rates", "energy", "representation_health")
"""Results files whose pictures are drawn by the command that writes the file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "checkpoint",
        help="file of a pretraining, or a name of the model zoo; all weights must fit",
    )
    parser.add_argument(
        "--config",
        help="config of the pretraining; the one next to the checkpoint by default",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of labelled images, {train,test}/<class>/*, to use instead of the "
        "config's",
    )
    add_out_argument(parser, "report", "folder for the page, pictures and numbers")
    add_probes_argument(parser, "names of probes, see snnssl probe --help")
    parser.add_argument(
        "--time-steps",
        nargs="+",
        type=positive(int),
        default=[1, 2, 4, 8, 16],
        metavar="T",
        help="numbers of time steps to measure (1 2 4 8 16)",
    )
    add_trust_argument(parser)


def config_beside(checkpoint: str) -> str:
    """Find the config of a model of the zoo, or the one next to a checkpoint.

    Raises:
        FileNotFoundError: If there is none, or more than one.
    """
    from snnssl_mm.checkpoints import zoo

    if known := zoo.entries().get(checkpoint.removeprefix(zoo.SCHEME)):
        return str(known.config)
    found = sorted(Path(checkpoint).parent.glob("*.py"))
    if len(found) != 1:
        raise FileNotFoundError(
            f"expected one config next to {checkpoint}, found {len(found)}; pass the "
            "pretraining's config by --config"
        )
    return str(found[0])


def measurements(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the measurements: results file -> subcommand and its arguments."""
    model = [args.config, args.checkpoint]
    if args.trust_checkpoint:
        model.append("--trust-checkpoint")
    starts = ["--start", "pretrained", "random", "pixels"]
    starts += ["--cache", str(args.out / "features")]
    steps = ["--time-steps", *map(str, args.time_steps)]
    plots = {name: ["--plot", str(args.out / f"{name}.png")] for name in MEASURED}
    return {
        "probes": ["probe", *model, "--probes", *args.probes, *starts],
        "time_steps": ["measure", "time-steps", *model, *steps],
        "firing_rates": ["measure", "firing-rates", *model, *plots["firing_rates"]],
        "energy": ["measure", "energy", *model, *plots["energy"]],
        "representation_health": [
            *("measure", "health", *model, *plots["representation_health"])
        ],
    }


def measure(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Run the other commands; return the checkpoint's rows, by results file."""
    from rich.console import Console

    from snnssl_mm.recording.probe_names import current_names
    from snnssl_mm.recording.results_file import file_sha

    rows: dict[str, list[dict[str, Any]]] = {}
    jobs = measurements(args)
    for number, (name, command) in enumerate(jobs.items(), start=1):
        Console().rule(f"{number} of {len(jobs) + 1}: {name.replace('_', ' ')}")
        file = args.out / f"{name}.json"
        children.run_child([*command, "--out", str(file)])
        sha = file_sha(args.checkpoint)
        rows[name] = [
            row
            for row in current_names(json.loads(file.read_text()))["rows"]
            if row["sha256"] in (sha, None) and row["config"] == args.config
        ]
    return rows


def pictures(args: argparse.Namespace, cfg: Config, model: Any) -> list[Section]:
    """Draw spikes, maps, embedding and neighbours of the network."""
    from snnssl_mm.analysis.report import report_pictures
    from snnssl_mm.analysis.sample_images import sample_images
    from snnssl_mm.probing import eval_loaders

    cfg.max_probe_samples = report_pictures.EMBEDDED
    loaders = eval_loaders(cfg)
    samples = sample_images(model, loaders.test, IMAGES)
    return [
        report_pictures.spikes_section(model.backbone, samples, args.out),
        report_pictures.maps_section(model.backbone, samples, args.out),
        report_pictures.embedding_section(
            cfg, model, loaders, args.out / "feature_embedding.png"
        ),
        report_pictures.neighbours_section(model, loaders, args.out / "neighbours.png"),
    ]


def compose(
    args: argparse.Namespace,
    rows: dict[str, list[dict[str, Any]]],
    shown: list[Section],
    about: Table,
) -> Report:
    """Compose the report of its sections."""
    from snnssl_mm.analysis.report import report_sections
    from snnssl_mm.analysis.report.report import Report
    from snnssl_mm.recording.machine import describe_machine, machine_text

    firing, energy, health = (
        rows[name][-1] for name in ("firing_rates", "energy", "representation_health")
    )
    probes, steps = rows["probes"], rows["time_steps"]
    return Report(
        title=Path(args.config).stem,
        subtitle=(
            f"{args.checkpoint} (sha256 {energy['sha256']}), seed {energy['seed']}; "
            f"{machine_text(describe_machine())}, {time.strftime('%Y-%m-%d')}"
        ),
        facts=report_sections.facts(probes, steps, firing, energy, health),
        sections=[
            report_sections.training_section(
                Path(args.checkpoint).parent, args.out / "curves.png"
            ),
            report_sections.probes_section(probes),
            report_sections.time_steps_section(
                steps, args.out / "time_steps.png", probes
            ),
            report_sections.firing_rates_section(firing, args.out / "firing_rates.png"),
            report_sections.energy_section(energy, args.out / "energy.png"),
            report_sections.health_section(
                health, args.out / "representation_health.png", probes[0]["classes"]
            ),
            *shown,
        ],
        about=about,
    )


def run(args: argparse.Namespace) -> None:
    """Measure, draw and write."""
    from rich.console import Console

    from snnssl_mm.analysis.report.report_about import about_table
    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.probing import eval_loaders, load_trained_model
    from snnssl_mm.recording.provenance import require_local

    page, text = args.out / "report.html", args.out / "report.md"
    args.cfg_options = None
    with errors_as_messages():
        args.config = args.config or config_beside(args.checkpoint)
        cfg = load_config(args)
        args.checkpoint = zoo.resolve(args.checkpoint)
        require_local(args.checkpoint)
        require_writable(page, text)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.data:  # the measuring commands read it from a separate config
            from snnssl_mm.probing.labelled_folder import with_labelled_folder

            cfg = with_labelled_folder(cfg, args.data.absolute())
            args.config = str(args.out / "config.py")
            cfg.dump(args.config)
        model = load_trained_model(cfg, args.checkpoint)
        eval_loaders(cfg)
    rows = measure(args)
    Console().rule("pictures")
    table = about_table(cfg, args.checkpoint, model, rows["probes"][0])
    report = compose(args, rows, pictures(args, cfg, model), table)
    page.write_text(report.html())
    text.write_text(report.markdown(args.out))
    print(f"wrote {page} and {text}")
