"""Which layout a checkpoint has, found from the names of its tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from snnssl_mm.conversion.resnet_layouts import RESNET_LAYOUTS
from snnssl_mm.conversion.rules import Layout
from snnssl_mm.conversion.spikformer_layouts import SPIKFORMER_LAYOUTS

LAYOUTS = {**SPIKFORMER_LAYOUTS, **RESNET_LAYOUTS}
"""Layouts of other projects, by the names that tools/convert.py knows."""
OURS = "ours"
PREFIX_PARTS = 4  # at most, such as module.momentum_encoder.backbone.


class Detected(NamedTuple):
    """What was found.

    Attributes:
        name: Of the layout, or ``'ours'``.
        family: Our backbone.
        prefix: In front of the backbone's names.
        matches: How many names the layout knows.
    """

    name: str
    family: str
    prefix: str
    matches: int


def pattern(template: str) -> re.Pattern[str]:
    """Regular expression of a rule's name."""
    text = re.escape(template).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    return re.compile(text)


def fill(template: str, found: Iterable[str]) -> str:
    """Put what another name's places matched into a rule's name."""
    for text in found:
        template = re.sub("[#*]", text, template, count=1)
    return template


def best_prefix(names: Iterable[str], templates: Iterable[str]) -> tuple[str, int]:
    """Prefix under which most names are known, and how many are."""
    known = re.compile("|".join(pattern(t).pattern for t in templates))
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for cut in range(min(len(parts), PREFIX_PARTS)):
            if known.fullmatch(".".join(parts[cut:])):
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    best = max(counts, key=lambda prefix: (counts[prefix], -len(prefix)), default="")
    return best, counts[best]


def detect(names: Iterable[str]) -> Detected:
    """Find the layout that knows most of a checkpoint's names.

    Our ResNet's names are torchvision's, which is then the answer: what such a
    checkpoint is, its names cannot tell.

    Raises:
        ValueError: If no layout knows any.
    """
    names = list(names)
    found = []
    for family, layouts in (
        ("Spikformer", SPIKFORMER_LAYOUTS),
        ("SpikingResNet", RESNET_LAYOUTS),
    ):
        for name, layout in layouts.items():
            prefix, matches = best_prefix(names, (r.theirs for r in layout.rules))
            found.append(Detected(name, family, prefix, matches))
    ours = {rule.ours for rule in SPIKFORMER_LAYOUTS["spikformer-imagenet"].rules}
    prefix, matches = best_prefix(names, ours)
    found.append(Detected(OURS, "Spikformer", prefix, matches))
    best = max(found, key=lambda candidate: candidate.matches)
    if not best.matches:
        raise ValueError(
            f"none of {len(names)} names is known, such as {', '.join(names[:3])}; "
            f"expected one of the layouts {', '.join(LAYOUTS)}, or {OURS}"
        )
    if best.name == "torchvision" and best.prefix == "backbone.":
        heads = LAYOUTS["mmpretrain"].heads
        others = [name for name in names if not name.startswith(best.prefix)]
        if others and all(matches_any(name, heads) for name in others):
            return best._replace(name="mmpretrain")
    return best


def matches_any(name: str, templates: Iterable[str]) -> bool:
    """Whether a name is one of those that the templates stand for."""
    return any(pattern(template).fullmatch(name) for template in templates)


def layout_of(name: str) -> Layout:
    """Return a layout by its name."""
    if name not in LAYOUTS:
        raise ValueError(f"unknown layout {name!r}; expected one of {list(LAYOUTS)}")
    return LAYOUTS[name]
