"""The installed command ``snnssl``: it starts the tool that a word names.

The tools lie in ``snnssl_mm/.mim/tools`` (wheels, editable installations) or beside
the package (a checkout). Nothing heavy is imported here: ``snnssl --help`` is quick.
"""

from __future__ import annotations

import difflib
import runpy
import sys
from pathlib import Path

from snnssl_mm.cli import user_errors
from snnssl_mm.recording import command
from snnssl_mm.version import __version__

TOOLS = {
    "train": ("train.py", "train anything: pretraining, detection, segmentation"),
    "test": ("test.py", "evaluate a checkpoint"),
    "probe": ("probe.py", "judge a pretrained backbone by labelled images"),
    "report": ("report.py", "all about a pretraining on one page"),
    "new": ("new_project.py", "write configs for your own images, sized for them"),
    "check": ("check_config.py", "find mistakes in a config before they cost time"),
    "doctor": ("check_env.py", "find what is wrong with the environment"),
    "convert": ("convert.py", "take weights of other projects"),
    "export": ("export.py", "write NIR, torch.export or ONNX"),
    "infer": ("infer.py", "draw results on a folder of images"),
    "browse": ("browse_dataset.py", "draw what a config's data sets yield"),
    "ablate": ("ablation.py", "run a grid of small trainings"),
    "demo": ("demo.py", "pretrain and evaluate a small network here"),
}
DRAW = {
    "feature-maps": "visualization/feature_maps.py",
    "spike-maps": "visualization/spike_maps.py",
    "attention-maps": "visualization/attention_maps.py",
    "spike-raster": "visualization/spike_raster.py",
    "embedding": "visualization/feature_embedding.py",
    "neighbours": "visualization/nearest_neighbours.py",
    "predictions": "visualization/predictions.py",
}
MEASURE = {
    "time-steps": "analysis/time_steps.py",
    "firing-rates": "analysis/firing_rates.py",
    "energy": "analysis/energy.py",
    "health": "analysis/representation_health.py",
}
KINDS = {"draw": DRAW, "measure": MEASURE}
HELP = ("-h", "--help", "help")


def tools_folder() -> Path:
    """Return the folder of the tools: the installation's, or the checkout's.

    Raises:
        SystemExit: If there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / ".mim" / "tools", package.parent / "tools"):
        if (folder / "train.py").is_file():
            return folder
    raise SystemExit(
        f"error: {package} has no tools; install the package again (pip install "
        "--force-reinstall --no-deps snnssl_mm)"
    )


def usage() -> str:
    """Return what ``snnssl --help`` prints."""
    lines = ["usage: snnssl COMMAND [ARGUMENTS]; snnssl COMMAND --help says more", ""]
    lines += [f"  {name:<9} {text}" for name, (_, text) in TOOLS.items()]
    lines += [f"  {name:<9} {', '.join(kinds)}" for name, kinds in KINDS.items()]
    return "\n".join(lines)


def resolve(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the file of a command's tool, and the tool's arguments.

    Raises:
        SystemExit: If there is no such command, with status 2, or only help is asked
            for.
    """
    name, *rest = arguments
    if name in TOOLS:
        return TOOLS[name][0], rest
    if name in KINDS and rest and rest[0] in KINDS[name]:
        return KINDS[name][rest[0]], rest[1:]
    if name in KINDS:
        wrong = f"snnssl {name} needs one of: {', '.join(KINDS[name])}"
        if rest and rest[0] in HELP:
            print(wrong.replace("needs", "takes"))
            raise SystemExit(0)
    else:
        near = difflib.get_close_matches(name, [*TOOLS, *KINDS], 1)
        wrong = f"there is no command {name!r}; "
        wrong += f"is {near[0]} meant? " if near else ""
        wrong += f"expected one of: {', '.join([*TOOLS, *KINDS])}"
    print(f"error: {wrong}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Start the tool."""
    arguments = sys.argv[1:]
    text = __version__ if arguments[:1] == ["--version"] else usage()
    if not arguments or arguments[0] in (*HELP, "--version"):
        user_errors.run_tool(lambda: print(text, flush=True))
        raise SystemExit(0 if arguments else 2)
    tool, rest = resolve(arguments)
    folder = tools_folder()
    command.PROGRAM[:] = ["snnssl", *arguments[: len(arguments) - len(rest)]]
    sys.argv = [str(folder / tool), *rest]
    # As if the tool had been started as a program: its folder comes first.
    sys.path.insert(0, str((folder / tool).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
