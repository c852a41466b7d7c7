"""Write a report about a pretrained checkpoint as one HTML page and as Markdown.

Other commands measure probes, time steps, firing rates, energy and representation
health; their results are kept in OUT, so that running the same command again continues
an interrupted report; numbers of another config or other images are measured again.
Pictures show spikes, maps and features. The page needs no other file. With --downstream
it also shows what detectors and segmentors find.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared import children
from snnssl_mm.cli.shared.arguments import positive
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.named_models import METAVAR, load_configs, named_model
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

    Rows = dict[str, list[dict[str, Any]]]

RESUME_OPTION = ""
IMAGES = 8  # in the spike rasters
SCENES = 32  # for the firing rates of detectors and segmentors
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
    parser.add_argument(
        "--downstream",
        nargs="+",
        type=named_model,
        default=[],
        metavar=METAVAR,
        help="detectors and segmentors trained from this checkpoint: their predictions "
        "and energy",
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


class Job(NamedTuple):
    """A command that measures, and the model whose rows are read from its file."""

    command: list[str]
    config: str
    checkpoint: str


def measurements(args: argparse.Namespace) -> dict[str, list[Job]]:
    """Return the measurements by results file."""
    trust = ["--trust-checkpoint"] if args.trust_checkpoint else []

    def job(name: str, *options: str, model: tuple[str, str] | None = None) -> Job:
        config, checkpoint = model or (args.config, args.checkpoint)
        command = [*name.split(), config, checkpoint, *trust, *options]
        return Job(command, config, checkpoint)

    starts = ["--start", "pretrained", "random", "pixels"]
    starts += ["--cache", str(args.out / "features")]
    plots = {name: ["--plot", str(args.out / f"{name}.png")] for name in MEASURED}
    steps = map(str, args.time_steps)
    jobs = {
        "probes": [job("probe", "--probes", *args.probes, *starts)],
        "time_steps": [job("measure time-steps", "--time-steps", *steps)],
        "firing_rates": [job("measure firing-rates", *plots["firing_rates"])],
        "energy": [job("measure energy", *plots["energy"])],
        "representation_health": [
            job("measure health", *plots["representation_health"])
        ],
    }
    if args.downstream:
        images = ["--images", str(SCENES)]
        jobs["downstream"] = [
            job("measure energy", *images, model=(config, checkpoint))
            for _, config, checkpoint in args.downstream
        ]
    return jobs


def measure(args: argparse.Namespace, cfg: Config) -> Rows:
    """Run the other commands; return the checkpoint's rows, by results file."""
    from rich.console import Console

    from snnssl_mm.probing.plan import data_root

    rows: Rows = {}
    files = measurements(args)
    for number, (name, jobs) in enumerate(files.items(), start=1):
        Console().rule(f"{number} of {len(files) + 1}: {name.replace('_', ' ')}")
        file = args.out / f"{name}.json"
        rows[name] = []
        for job in jobs:
            children.run_child([*job.command, "--out", str(file)])
            rows[name] += rows_of(job, file)
    return current_rows(rows, args.time_steps, data_root(cfg))


def current_rows(rows: Rows, time_steps: list[int], data: str) -> Rows:
    """Leave out rows of other images, which earlier reports left in the files.

    Args:
        rows: Rows by results file; of a kind with one row only it is measured.
        time_steps: The measured T; rows of other T count if their images are the same.
        data: The labelled images, as rows of probes name them.
    """
    steps = rows["time_steps"]
    digests = {row["digest"] for row in steps if row["time_steps"] in time_steps}
    return {
        **rows,
        "probes": [row for row in rows["probes"] if row["data"] == data],
        "time_steps": [row for row in steps if row.get("digest") in digests],
    }


def rows_of(job: Job, file: Path) -> list[dict[str, Any]]:
    """Read the rows of a measured model."""
    from snnssl_mm.recording.probe_names import current_names
    from snnssl_mm.recording.results_file import file_sha

    sha = file_sha(job.checkpoint)
    return [
        row
        for row in current_names(json.loads(file.read_text()))["rows"]
        if row["sha256"] in (sha, None) and row["config"] == job.config
    ]


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


def downstream(
    args: argparse.Namespace, models: list[tuple[str, Config, str]], rows: Rows
) -> list[Section]:
    """Show what detectors and segmentors find; no section without any."""
    from snnssl_mm.analysis.report.report_pictures import downstream_section

    if not models:
        return []
    return [downstream_section(models, rows["downstream"], args.out)]


def compose(
    args: argparse.Namespace,
    rows: Rows,
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

    from snnssl_mm.analysis.predictions import require_task
    from snnssl_mm.analysis.report.report_about import about_table
    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.probing import eval_loaders, load_trained_model
    from snnssl_mm.recording.provenance import require_local

    page, text = args.out / "report.html", args.out / "report.md"
    args.cfg_options = None
    with errors_as_messages():
        args.config = args.config or config_beside(args.checkpoint)
        cfg = load_config(args)
        models = load_configs(args.downstream)
        for _, other, trained in models:
            require_task(other)
            load_trained_model(other, trained)
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
    rows = measure(args, cfg)
    Console().rule("pictures")
    table = about_table(cfg, args.checkpoint, model, rows["probes"][0])
    shown = pictures(args, cfg, model) + downstream(args, models, rows)
    report = compose(args, rows, shown, table)
    page.write_text(report.html())
    text.write_text(report.markdown(args.out))
    print(f"wrote {page} and {text}")
