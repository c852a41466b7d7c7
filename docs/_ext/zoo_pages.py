"""The model zoo: an index, and a page for every model, from the metafiles."""

from __future__ import annotations

from collections.abc import Iterator

from results_tables import table

from snnssl_mm.checkpoints import zoo

TASKS = {
    "selfsup": "Pretraining",
    "classification": "Classification",
    "detection": "Detection",
    "segmentation": "Segmentation",
}


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
    """Yield results with the file that they come from."""
    for result in entry.meta["Results"] or []:
        rows = [[name, f"{value}"] for name, value in result["Metrics"].items()]
        yield f"{result['Task']} on {result['Dataset']}, by `{result['Results File']}`:"
        yield ""
        yield from table(["metric", "%"], rows)
        yield ""
    if not entry.meta["Results"]:
        yield "No result yet: nobody has trained it to the end with this version."


def weights(entry: zoo.Entry) -> str:
    """Describe where the weights of a model come from, and how to load them."""
    if entry.file is None:
        return (
            "None yet. Train the config, or publish yours with "
            "`snnssl zoo publish CKPT NAME`."
        )
    where = f"[{entry.url}]({entry.url})" if entry.url else "comes with the package"
    return f"""`{entry.file}`, {where}. SHA-256:
`{entry.sha256}`

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


def index() -> str:
    """Return the page that lists all models."""
    entries = zoo.entries().values()
    lines = [
        "# Model zoo",
        "",
        "Models load by name: `snnssl_mm.apis.load_model(NAME)`, `--pretrained NAME`.",
        "A dash means that nobody has trained the model to the end yet.",
    ]
    for folder, heading in TASKS.items():
        rows = [line(entry) for entry in entries if task(entry) == folder]
        heads = ["model", "images", "backbone", "weights"]
        lines += ["", f"## {heading}", "", *table(heads, rows)]
    names = "\n".join(entry.name for entry in entries)
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", names, "```", ""])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    yield "index", index()
    for entry in zoo.entries().values():
        yield entry.name, page(entry)
