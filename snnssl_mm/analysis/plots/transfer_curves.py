"""Line charts as inline SVG, in colours that the page's style sheet defines."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from snnssl_mm.analysis.plots.plot_style import STYLE
from snnssl_mm.analysis.seed_statistics import Summary

SIZE = (3.5, 2.3)  # inches; shown 300 to 480 pixels wide
INK, LINE = "#1d2430", "#dfe3ea"
"""Stand for the page's colours of text and grid."""
DASHES = ((), (5, 1.5), (5, 1.5, 1, 1.5), (8, 2))


class LineStyle(NamedTuple):
    """Look of a line.

    Attributes:
        variable: Variable of the style sheet that holds the colour.
        dashes: Lengths of dashes and gaps in line widths; none for a solid line.
    """

    variable: str
    dashes: tuple[float, ...] = ()

    @property
    def dash_array(self) -> str:
        """The dashes as SVG has them, for a line 2.4 wide."""
        return " ".join(f"{2.4 * length:g}" for length in self.dashes) or "none"


BASELINE_STYLES = {
    "random": LineStyle("--random", (2, 1.2)),
    "pixels": LineStyle("--pixels", (1, 1)),
}


class Curve(NamedTuple):
    """Line with a band of one standard deviation.

    Attributes:
        x: Values of the horizontal axis, increasing.
        y: Mean and deviation at each of them.
        style: Look of the line.
    """

    x: Sequence[float]
    y: Sequence[Summary]
    style: LineStyle


def line_styles(entries: Sequence[str]) -> dict[str, LineStyle]:
    """Assign a style to every checkpoint, and the fixed ones to the baselines."""
    checkpoints = [entry for entry in entries if entry not in BASELINE_STYLES]
    styles = {
        entry: LineStyle(f"--checkpoint-{index % 4}", DASHES[index % len(DASHES)])
        for index, entry in enumerate(checkpoints)
    }
    return styles | {e: BASELINE_STYLES[e] for e in entries if e in BASELINE_STYLES}


def draw_svg(curves: Sequence[Curve], x_label: str, ticks: Sequence[float]) -> Markup:
    """Draw curves as SVG to be put into an HTML page.

    Args:
        curves: The curves.
        x_label: Label of the horizontal axis.
        ticks: Ticks of a logarithmic horizontal axis; a linear axis if empty.
    """
    names = {curve.style.variable for curve in curves}
    # Stand-ins; black is matplotlib's default, which the file leaves out.
    colors = {name: f"#0000{index:02x}" for index, name in enumerate(sorted(names), 1)}
    with mpl.rc_context({**STYLE, **svg_style(curves, x_label)}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axis = figure.subplots()
        for curve in curves:
            draw_curve(axis, curve, colors[curve.style.variable])
        axis.set_xlabel(x_label)
        axis.yaxis.set_major_locator(MaxNLocator(5))
        if ticks:
            axis.set_xscale("log")
            axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
            axis.xaxis.set_minor_locator(NullLocator())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    variables = {color: name for name, color in colors.items()}
    return inline_svg(file.getvalue(), {**variables, INK: "--ink", LINE: "--line"})


def svg_style(*identity: Any) -> Any:
    """Return matplotlib's settings for inline SVG: text as text, ids by content."""
    names = ("text", "axes.label", "xtick", "ytick")
    settings = {f"{n}color" if "." in n else f"{n}.color": INK for n in names}
    return {
        **settings,
        "axes.edgecolor": INK,
        "grid.color": LINE,
        "grid.alpha": 1,
        "svg.fonttype": "none",
        "svg.hashsalt": repr(identity),
    }


def draw_curve(axis: Any, curve: Curve, color: str) -> None:
    """Draw a line with its points and its band; one seed has no band."""
    mean = np.array([summary.mean for summary in curve.y])
    spread = np.nan_to_num([summary.deviation for summary in curve.y])
    style: dict[str, Any] = dict(color=color, marker="o", lw=1.7, markersize=4)
    if curve.style.dashes:
        style["dashes"] = curve.style.dashes
    axis.plot(curve.x, mean, **style)
    if spread.any():
        axis.fill_between(
            curve.x, mean - spread, mean + spread, color=color, alpha=0.16, lw=0
        )


def inline_svg(text: str, variables: Mapping[str, str]) -> Markup:
    """Turn matplotlib's SVG file into an element of an HTML page.

    Args:
        text: The file.
        variables: Variable of the style sheet by the colour to replace.
    """
    text = text[text.index("<svg") :]
    for unwanted in (
        r"<metadata>.*?</metadata>",
        r"<style.*?</style>",  # would apply to the page
        r"<!--.*?-->",
        r' xmlns(:\w+)?="[^"]*"',
        r'(?<=<g) id="[^"]*"',  # equal in every figure
    ):
        text = re.sub(unwanted, "", text, flags=re.DOTALL)
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for color, variable in variables.items():
        text = text.replace(color, f"var({variable})")
    return Markup(re.sub(r"\n\s*", "\n", text))
