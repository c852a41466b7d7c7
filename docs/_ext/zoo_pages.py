"""The model zoo: an index, and a page for every model, from the metafiles."""

from __future__ import annotations

import json
from collections.abc import Iterator

from markdown_tables import device, table
from markup import TASKS, toctree
from results_tables import ROOT, current_files

from snnssl_mm.checkpoints import official, reading, zoo


def task(entry: zoo.Entry) -> str:
    """Return the folder of an entry's config."""
    return entry.config.parent.name


def facts(entry: zoo.Entry) -> list[str]:
    """Return a table of what the metafile states about a model."""
    config = entry.config.stem
    rows = [["config", f"[{config}](../configs/{config}.md)"]]
    for key, value in entry.meta["Metadata"].items():
        rows.append([key.lower(), f"{value:,}" if type(value) is int else f"{value}"])
    return table(["", "value"], rows)


def results(entry: zoo.Entry) -> Iterator[str]:
    """Yield results with the file and the command that they come from."""
    for result in entry.meta["Results"] or []:
        rows = [[name, f"{value}"] for name, value in result["Metrics"].items()]
        name = result["Results File"]
        report = json.loads(current_files((ROOT / name).read_text()))
        commands = {row["command"] for row in report.get("rows", [report])}
        yield f"{result['Task']} on {result['Dataset']}:"
        yield ""
        yield from table(["metric", "%"], rows)
        yield ""
        yield f"Measured on {device(report)}, recorded in `{name}`, by"
        yield ""
        yield "\n".join(["```bash", *sorted(commands), "```"])
        yield ""
    if not entry.meta["Results"]:
        yield "No result yet: nobody has trained it to the end with this version."


def training(entry: zoo.Entry) -> str:
    """Describe the training of weights that come with the package."""
    file = zoo.SHIPPED / (entry.file or "")
    if not file.is_file():
        return ""
    meta = reading.load(file)["meta"]
    return (
        f"Trained with seed {meta['seed']} for {meta['epoch']} epochs "
        f"({meta['iter']:,} iterations). The file contains its complete config."
    )


def weights(entry: zoo.Entry) -> str:
    """Describe where the weights of a model come from, and how to load them."""
    if theirs := entry.meta.get("Official Weights"):
        return (
            f"Those of the network's authors: `snnssl zoo get {theirs}`, then "
            f"`snnssl test CONFIG {theirs}`. [Where they are](official.md)."
        )
    if entry.file is None:
        return (
            "None yet. Train the config, or publish yours with "
            "`snnssl zoo publish CKPT NAME`."
        )
    where = f"[{entry.url}]({entry.url})" if entry.url else "comes with the package"
    return f"""`{entry.file}`, {where}. SHA-256:
`{entry.sha256}`

{training(entry)}

```python
from snnssl_mm.apis import load_model

model = load_model("{entry.name}")
```

In a config: `init_cfg=dict(type="snnssl_mm.BackboneInit", checkpoint="{entry.name}")`;
on the command line: `snnssl train CONFIG --pretrained {entry.name}`."""


def page(entry: zoo.Entry) -> str:
    """Return the page of a model."""
    return "\n".join(
        [
            f"# {entry.name}",
            "",
            f"{TASKS[task(entry)]}.",
            "",
            *facts(entry),
            "",
            "## Results",
            "",
            *results(entry),
            "",
            "## Weights",
            "",
            weights(entry),
            "",
        ]
    )


def line(entry: zoo.Entry) -> list[str]:
    """Return a model's line in the index."""
    metadata = entry.meta["Metadata"]
    size = metadata.get("Backbone Parameters")
    return [
        f"[{entry.name}]({entry.name}.md)",
        str(metadata.get("Training Data", "-")),
        f"{size / 1e6:.2f} M" if size else "-",
        "yes" if entry.file else "-",
    ]


def listing(name: str) -> list[str]:
    """Return a table of the models of a task."""
    rows = [line(entry) for entry in models(name)]
    return table(["model", "images", "backbone", "weights"], rows)


def models(name: str) -> list[zoo.Entry]:
    """List the models of a task."""
    return [entry for entry in zoo.entries().values() if task(entry) == name]


def task_page(name: str) -> str:
    """Return the page of a task."""
    names = toctree(entry.name for entry in models(name))
    return "\n".join([f"# {TASKS[name]} models", "", *listing(name), "", names])


def official_page() -> str:
    """Return the page of the official weights of others."""
    lines = [
        "# Official weights",
        "",
        "Where the authors of spiking backbones publish their weights, trained on",
        f"{official.DATA}. `snnssl zoo get NAME` downloads them (or takes `--file`),",
        "converts and verifies them: [guide](../howto/weights.md). Accuracy in % is",
        "what the authors report for 224 pixels; it was not measured here. A dash is",
        "not known.",
    ]
    found = list(official.entries().values())
    for source in dict.fromkeys(entry.source for entry in found):
        entries = [entry for entry in found if entry.source == source]
        one = entries[0]
        lines += [
            "",
            f"## {source}",
            "",
            f"[Repository]({one.repository}) · [paper]({one.paper}) · licence: "
            f"{one.license or 'none stated'} · backbone `{one.family}` · layout "
            + ", ".join(f"`{layout}`" for layout in one.layouts),
            "",
            *table(
                ["name", "T", "top-1", "reported in", "file"],
                [row(entry) for entry in entries],
            ),
        ]
    return "\n".join([*lines, ""])


def row(entry: official.Official) -> list[str]:
    """Return the line of official weights in their table."""
    place = entry.url or entry.page
    how = "download" if entry.url else "by hand"
    return [
        f"`{entry.name}`",
        str(entry.time_steps),
        f"{entry.top1:.2f}" if entry.top1 else "-",
        entry.top1_from or "-",
        f"[{how}]({place})",
    ]


def index() -> str:
    """Return the page that lists all models."""
    lines = [
        "# Model zoo",
        "",
        "Models load by name: `snnssl_mm.apis.load_model(NAME)`, `--pretrained NAME`.",
        "A dash means that nobody has trained the model to the end yet. Weights that",
        "others have trained are [official weights](official.md).",
    ]
    for name, heading in TASKS.items():
        lines += ["", f"## {heading}", "", *listing(name)]
    return "\n".join([*lines, "", toctree([*TASKS, "official"])])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    yield "index", index()
    yield "official", official_page()
    for name in TASKS:
        yield name, task_page(name)
        yield from ((entry.name, page(entry)) for entry in models(name))
