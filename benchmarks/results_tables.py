"""Tables of README and docs, rendered from results files.

``model-index.yml`` and its metafiles make the table of models with weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_tables import device, table
from speed_tables import growth, kernel_resources, speed, stock_pipelines

from snnssl_mm.recording.probe_names import current_names, probe_title

if TYPE_CHECKING:
    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.recording.table import Table

    Shown = Callable[[list[dict[str, Any]]], Sequence[Table]]


ROOT = Path(__file__).resolve().parents[1]


def demo(report: dict[str, Any]) -> list[str]:
    """Render results of the former ``snnssl demo``, with seeds, times and command."""
    summary, runs = report["summary"], report["runs"]
    measures = list(next(iter(summary.values())))
    rows = [
        [probe_title(features), *(row.get(measure, "-") for measure in measures)]
        for features, row in summary.items()
    ]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    what = f"Seeds {seeds}, mean ± standard deviation" if len(runs) > 1 else "One seed"
    parts = {"train_seconds": "pretraining", "transfer_seconds": "transfer"}
    times = {part: [run.get(key) for run in runs] for key, part in parts.items()}
    took = " and ".join(
        f"{max(seconds) / 60:.1f} minutes of {part}"
        for part, seconds in times.items()
        if all(seconds)  # an interrupted run has no time
    )
    where = f"at most {took} a seed on {device(report)}"
    lines = table(["on unseen images, %", *map(probe_title, measures)], rows)
    return [*lines, "", f"{what}; {where}: `{report['command']}`."]


def memory(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/backbone_memory.py."""
    names = {"False": "without", "True": "with"}
    rows = [
        [f"{names[key]} `with_cp`", f"{row['peak_mib']:,} MiB"]
        for key, row in report["backbone"].items()
    ]
    lines = table([report["task"], "peak memory"], rows)
    gflop: dict[str, list[float]] = {}
    for row in report["attention"]:
        gflop.setdefault(row["order"], []).append(row["gflop"])
    tokens = sorted({row["tokens"] for row in report["attention"]})
    growth = ", ".join(
        f"{values[-1] / values[0]:.0f} times in the order {order}"
        for order, values in gflop.items()
    )
    text = (
        f"On {device(report)}: `{report['command']}`. From {tokens[0]:,} to "
        f"{tokens[-1]:,} tokens ({tokens[-1]:,} at 1344x800) the operations of "
        f"attention grow {growth}."
    )
    return [*lines, "", text]


def folding(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/folding.py: a line a backbone and way."""
    rows = []
    for row in report["rows"]:
        size = f"{row['backbone']} {row['arch']}, T = {row['time_steps']}"
        for way, ratio in row["times_as_it_is"].items():
            low, high = ratio["quartiles"]
            rows.append(
                [
                    size,
                    f"{way}: {row['folded_norms'][way]} of {row['norms']} norms",
                    f"{row['seconds']['as it is']['median']:.3g} s",
                    f"{ratio['median']:.2f} ({low:.2f} to {high:.2f})",
                    f"{row['largest_difference_in_float64'][way]:.1g}",
                ]
            )
    pixels, batch = (report["rows"][0][key] for key in ("image_size", "batch_size"))
    head = [
        f"{batch} x {pixels} pixels",
        "way",
        "as it is",
        "times as it is",
        "largest difference in float64",
    ]
    command = report["rows"][0]["command"]
    return [*table(head, rows), "", f"On {device(report)}: `{command}`."]


def attention_fusion(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/attention_fusion.py: a line a network and type."""
    rows = []
    for row in report["rows"]:
        low, high = row["percent_of_step"]["quartiles"]
        rows.append(
            [
                f"{row['network']}, {row['images']} x {row['pixels']} px",
                row["precision"],
                f"{row['step_s']['median']:.3g} s",
                f"{row['blocks']} x {row['product_mib']:.3g} MiB",
                f"{row['percent_of_step']['median']:.2g} % ({low:.2g} to {high:.2g})",
            ]
        )
    head = ["network", "type", "step", "products", "of a step, at most"]
    row = report["rows"][0]
    text = f"On {device(report)}, {row['threads']} thread(s): `{row['command']}`."
    return [*table(head, rows), "", text]


def event_readers(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/event_readers.py: a line a format."""
    rates: dict[str, dict[str, str]] = {}
    sizes: dict[str, str] = {}
    for row in report["rows"]:
        rate = row["events_per_second"]
        low, high = (value / 1e6 for value in rate["quartiles"])
        text = f"{rate['median'] / 1e6:.3g} ({low:.3g} to {high:.3g})"
        rates.setdefault(row["format"], {})[row["reader"]] = text
        sizes[row["format"]] = f"{row['bytes_per_event']:.3g}"
    readers = ("snnssl_mm", "spikingjelly")
    rows = [
        [name, sizes[name], *(found.get(reader, "-") for reader in readers)]
        for name, found in rates.items()
    ]
    head = ["format", "bytes per event", *readers]
    where = f"Million events per second on one core of {device(report)}"
    command = report["rows"][0]["command"]
    return [*table(head, rows), "", f"{where}: `{command}`."]


def event_frames(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/event_frames.py: a line a sensor and kind."""
    rows = []
    for row in report["rows"]:
        rates = {
            name: f"{rate['median'] / 1e6:.3g}"
            for name, rate in row["events_per_second"].items()
        }
        sizes = [row["sensor"], f"equal {row['by']}", row["value"]]
        rows.append([*sizes, rates["ours"], rates.get("spikingjelly", "-")])
    head = ["sensor", "frames", "value", "snnssl_mm", "spikingjelly"]
    first = report["rows"][0]
    where = (
        f"Million events per second on one core of {device(report)}, "
        f"T = {first['time_steps']}, {first['events']:,} random events"
    )
    return [*table(head, rows), "", f"{where}: `{first['command']}`."]


def detector_memory(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/detector_memory.py."""
    heads = list(dict.fromkeys(row["heads"] for row in report["rows"]))
    peaks: dict[str, list[str]] = {}
    for row in report["rows"]:
        peaks.setdefault(row["detector"], []).append(f"{row['peak_mib']:,} MiB")
    rows = [[detector, *values] for detector, values in peaks.items()]
    lines = table([f"{report['task']}: neck and heads", *heads], rows)
    return [*lines, "", f"On {device(report)}: `{report['command']}`."]


def busy_machine(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/busy_machine.py: seconds per step."""
    rows = [
        [row["setting"], f"{row['quiet']:.3f}", f"{row['busy']:.3f}"]
        for row in report["rows"]
    ]
    beside = f"beside {report['burners']} processes that burn a core each"
    lines = table(["threads", "alone, s a step", f"{beside}, s a step"], rows)
    return [*lines, "", f"On {device(report)}: `{report['command']}`."]


def rows_as(tables_of: Shown) -> Callable[[dict[str, Any]], list[str]]:
    """Return a renderer of a results file with rows.

    Args:
        tables_of: Makes tables of the rows.
    """

    def shown(report: dict[str, Any]) -> list[str]:
        rows, lines = report["rows"], []
        for found in tables_of(rows):
            lines += [f"{found.caption}:", "", *found.markdown(), ""]
        commands = list(dict.fromkeys(f"`{row['command']}`" for row in rows))
        more = f"; {len(commands) - 1} more in the file" if len(commands) > 1 else ""
        return [*lines, f"On {device(report)}: {commands[0]}{more}."]

    return shown


def energy_by_network(rows: list[dict[str, Any]]) -> list[Table]:
    """Make the table of totals of each network."""
    from snnssl_mm.recording.energy_tables import summary, total_table

    def named(row: dict[str, Any]) -> str:
        name = Path(row["config"]).stem
        return f"{name}, expanded" if row.get("expanded") else name

    return [
        total_table(row)._replace(caption=f"{named(row)}, {summary(row)}")
        for row in rows
    ]


METRICS = {"knn": "k-NN Top 1 Accuracy", "linear": "Linear Probe Top 1 Accuracy"}


def model_row(entry: zoo.Entry) -> list[str]:
    """Return one line of the table of pretrained models."""
    from snnssl_mm.checkpoints import zoo

    metadata, results = entry.meta["Metadata"], entry.meta["Results"] or [{}]
    metrics = results[0].get("Metrics", {})
    config = entry.config.relative_to(zoo.index_file().parent)
    return [
        f"[{entry.name}]({config})",
        metadata["Training Data"],
        f"{metadata['Backbone Parameters'] / 1e6:.2f} M",
        *(str(metrics.get(name, "-")) for name in METRICS.values()),
        f"[file]({entry.url})" if entry.url else "in the package",
    ]


def models() -> list[str]:
    """Render the models of the zoo that have weights, from their metafiles."""
    from snnssl_mm.checkpoints import zoo

    rows = [model_row(entry) for entry in zoo.entries().values() if entry.file]
    probes = [f"{probe_title(name)}, %" for name in METRICS]
    return table(["model", "images", "backbone", *probes, "weights"], rows)


def renderers() -> dict[str, Callable[[dict[str, Any]], list[str]]]:
    """Return the renderers of results files by their entry ``what`` or their name.

    Other files are results of the former demo.
    """
    from attention_rates_table import attention_rates_table
    from fault_tables import fuzz_table, kills_table
    from gpu_anatomy_tables import anatomy_tables
    from gradient_faithfulness import gradient_table
    from pretrainings import tables as pretrainings_tables
    from steadiness import long_run_table
    from training_cost_table import training_cost_table
    from training_plan import plan_table, step_times_table

    from snnssl_mm.ablation.results import ablation_table
    from snnssl_mm.analysis.time_steps import time_steps_table
    from snnssl_mm.analysis.transfer_table import transfer_tables
    from snnssl_mm.probing.probe_table import probe_table
    from snnssl_mm.recording.firing_rates import firing_rates_table
    from snnssl_mm.recording.representation_health import health_table

    return {
        "attention_rates": rows_as(lambda rows: [attention_rates_table(rows)]),
        "ablation": rows_as(lambda rows: [ablation_table(rows)]),
        "energy": rows_as(energy_by_network),
        "firing_rates": rows_as(lambda rows: [firing_rates_table(row) for row in rows]),
        "gradient_faithfulness": rows_as(lambda rows: [gradient_table(rows)]),
        "gpu_anatomy": rows_as(anatomy_tables),
        "fuzz": rows_as(lambda rows: [fuzz_table(rows)]),
        "kills": rows_as(lambda rows: [kills_table(rows)]),
        "long_run": rows_as(lambda rows: [long_run_table(rows)]),
        "pretrainings": rows_as(pretrainings_tables),
        "probes": rows_as(lambda rows: [probe_table(rows)]),
        "representation_health": rows_as(
            lambda rows: [health_table(row) for row in rows]
        ),
        "step_times": rows_as(lambda rows: [step_times_table(rows), plan_table(rows)]),
        "time_steps": rows_as(lambda rows: [time_steps_table(rows)]),
        "transfer": rows_as(transfer_tables),
        "training_cost": rows_as(lambda rows: [training_cost_table(rows)]),
        "attention_fusion": attention_fusion,
        "backbone_memory": memory,
        "detector_memory": detector_memory,
        "event_frames": event_frames,
        "event_readers": event_readers,
        "folding": folding,
        "busy_machine": busy_machine,
        "growth": growth,
        "kernel_resources": kernel_resources,
        "stock_pipelines": stock_pipelines,
        "speed": speed,
    }


TOOLS = {
    "analysis/time_steps": "measure time-steps",
    "analysis/firing_rates": "measure firing-rates",
    "analysis/energy": "measure energy",
    "analysis/representation_health": "measure health",
    "ablation": "ablate",
    "demo": "demo",
    "measure": "measure",
    "probe": "probe",
    "test": "test",
    "train": "train",
}
"""Files in tools/ that recorded commands name, and the subcommand of each."""


def current_files(text: str) -> str:
    """Write ``snnssl SUBCOMMAND`` for files in tools/ in the text of a results file."""
    for tool, subcommand in TOOLS.items():
        text = text.replace(f"python tools/{tool}.py", f"snnssl {subcommand}")
    return text


def markdown(file: Path) -> str:
    """Render a results file with its note, or the zoo's models with weights."""
    if file.name == "model-index.yml":
        return "\n".join(models())
    report = current_names(json.loads(current_files(file.read_text())))
    lines = renderers().get(report.get("what", file.stem), demo)(report)
    return "\n".join([*lines, report.get("note", "")]).rstrip()
