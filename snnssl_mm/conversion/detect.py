"""Detection of a checkpoint's layout from the names of its tensors."""

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
OUR_HEADS = ("head.*", "neck.*")
BLOCKS = ("blocks.", "layer1.")
"""Starts of our names of what every backbone has behind its stem."""
NEAREST = 3  # layouts that a message names
PREFIX_PARTS = 6  # less than, such as module.momentum_encoder.backbone.


class Detected(NamedTuple):
    """How well a layout knows a checkpoint's names.

    Attributes:
        name: Of the layout, or ``'ours'``.
        family: Our backbone.
        prefix: In front of the backbone's names.
        matches: How many names with that prefix the layout knows.
        names: How many names with that prefix may be the backbone's.
        blocks: Whether its blocks are among them, and not only a stem.
    """

    name: str
    family: str
    prefix: str
    matches: int
    names: int
    blocks: bool

    @property
    def fits(self) -> bool:
        """Whether it is the checkpoint's layout, if no other knows more names."""
        return self.blocks and 2 * self.matches > self.names


def pattern(template: str) -> re.Pattern[str]:
    """Regular expression of a rule's name."""
    text = re.escape(template).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    return re.compile(text)


def any_of(templates: Iterable[str]) -> re.Pattern[str]:
    """Regular expression of several rules' names."""
    return re.compile("|".join(pattern(template).pattern for template in templates))


def fill(template: str, found: Iterable[str]) -> str:
    """Put what another name's places matched into a rule's name."""
    for text in found:
        template = re.sub("[#*]", text, template, count=1)
    return template


def candidate(name: str, family: str, names: Iterable[str]) -> Detected:
    """Find the prefix below which a layout knows most names."""
    if name == OURS:
        rules = SPIKFORMER_LAYOUTS["spikformer-imagenet"].rules
        rules = tuple(rule._replace(theirs=rule.ours) for rule in rules)
        beside: tuple[str, ...] = OUR_HEADS
    else:
        layout = layout_of(name)
        rules, beside = layout.rules, (*layout.heads, *layout.unused)
    known = any_of(rule.theirs for rule in rules)
    blocks = any_of(rule.theirs for rule in rules if rule.ours.startswith(BLOCKS))
    counts: Counter[str] = Counter()
    for whole in names:
        parts = whole.split(".")
        for cut in range(min(len(parts), PREFIX_PARTS)):
            if known.fullmatch(".".join(parts[cut:])):
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    best = max(counts, key=lambda prefix: (counts[prefix], -len(prefix)), default="")
    bare = [n.removeprefix(best) for n in names if n.startswith(best)]
    others = any_of(beside)
    return Detected(
        name,
        family,
        best,
        counts[best],
        sum(not others.fullmatch(n) for n in bare),
        any(map(blocks.fullmatch, bare)),
    )


def detect(names: Iterable[str], source: str | None = None) -> Detected:
    """Find the layout that knows most of a checkpoint's names.

    Our ResNet's names are torchvision's, which is then the answer: what such a
    checkpoint is, its names cannot tell.

    Args:
        names: Of its tensors.
        source: The only layout to look at.

    Raises:
        ValueError: If none knows more than half of the names below some prefix, the
            blocks' among them.
    """
    names = list(names)
    families = {name: layout.family for name, layout in LAYOUTS.items()}
    families[OURS] = "Spikformer"
    if source is not None:
        families = {source: families.get(source) or layout_of(source).family}
    found = [candidate(name, family, names) for name, family in families.items()]
    best = max(found, key=lambda one: (one.fits, one.matches))
    if not best.fits:
        raise ValueError(unknown_layout(names, found))
    if best.name == "torchvision" and best.prefix == "backbone.":
        heads = LAYOUTS["mmpretrain"].heads
        others = [name for name in names if not name.startswith(best.prefix)]
        if others and all(matches_any(name, heads) for name in others):
            return best._replace(name="mmpretrain")
    return best


def unknown_layout(names: list[str], found: Iterable[Detected]) -> str:
    """Say what was found instead of a known layout, and what was expected."""
    nearest = sorted(found, key=lambda one: -one.matches)[:NEAREST]
    shares = [
        f"{one.name} knows {one.matches} of {one.names}"
        + (f" below {one.prefix!r}" if one.prefix else "")
        + ("" if one.blocks else ", no block among them")
        for one in nearest
        if one.matches
    ]
    return (
        f"{'; '.join(shares) or f'none of {len(names)} names is known'}, such as "
        f"{', '.join(names[:3])}; expected a layout that knows more than half of the "
        f"backbone's names and its blocks: {', '.join(LAYOUTS)}, or {OURS}"
    )


def matches_any(name: str, templates: Iterable[str]) -> bool:
    """Whether a name is one of those that the templates stand for."""
    return any(pattern(template).fullmatch(name) for template in templates)


def layout_of(name: str) -> Layout:
    """Return a layout by its name."""
    if name not in LAYOUTS:
        raise ValueError(f"unknown layout {name!r}; expected one of {list(LAYOUTS)}")
    return LAYOUTS[name]
