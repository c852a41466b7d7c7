"""Detection of a checkpoint's layout from the names of its tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from snnssl_mm.conversion.maxformer_layouts import MAXFORMER_LAYOUTS
from snnssl_mm.conversion.resnet_layouts import RESNET_LAYOUTS
from snnssl_mm.conversion.rules import Layout
from snnssl_mm.conversion.sdt_layouts import SDT_LAYOUTS
from snnssl_mm.conversion.spikformer_layouts import SPIKFORMER_LAYOUTS

LAYOUTS = {**SPIKFORMER_LAYOUTS, **SDT_LAYOUTS, **MAXFORMER_LAYOUTS, **RESNET_LAYOUTS}
"""Layouts of other projects by name."""
OURS = "ours"
"""Name of this package's own layout."""
PLAIN_LAYOUTS = {
    "Spikformer": "spikformer-imagenet",
    "SpikeDrivenTransformer": "sdt-v1",
    "Spikingformer": "spikingformer",
    "MaxFormer": "maxformer",
    "MetaSpikeFormer": "sdt-v2",
    "ESpikeFormer": "sdt-v3",
    "SpikingResNet": "torchvision",
}
"""A layout of each family whose rules have all our names."""
OUR_HEADS = ("head.*", "neck.*")
OUR_CLASSIFIER = (("head.fc.*", "fc.*"), ("head.fc_kd.*", "fc_kd.*"))
"""Our full names of a classifier's tensors, and those in the head."""
BLOCKS = ("blocks.", "layer1.", "stages.0.")
"""Prefixes of our names of blocks, which every backbone has after its stem."""
NEAREST = 3  # number of layouts that an error names
PREFIX_PARTS = 6  # prefixes have fewer parts, as module.momentum_encoder.backbone.


class Detected(NamedTuple):
    """Match of a layout with a checkpoint's names.

    Attributes:
        name: Name of the layout, or ``'ours'``.
        family: Name of our backbone class.
        prefix: Prefix of the backbone's names.
        matches: Number of names with that prefix that match the layout.
        names: Number of names with that prefix that may be the backbone's.
        blocks: Whether blocks are among the matches, not only a stem.
    """

    name: str
    family: str
    prefix: str
    matches: int
    names: int
    blocks: bool

    @property
    def fits(self) -> bool:
        """Whether it is the checkpoint's layout, if no other matches more names."""
        return self.blocks and 2 * self.matches > self.names


def name_pattern(template: str) -> re.Pattern[str]:
    """Compile a rule's name to a regular expression."""
    text = re.escape(template).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    return re.compile(text)


def any_of(templates: Iterable[str]) -> re.Pattern[str]:
    """Compile several rules' names to one regular expression."""
    return re.compile("|".join(name_pattern(name).pattern for name in templates))


def fill_placeholders(template: str, found: Iterable[str]) -> str:
    """Replace the placeholders of a rule's name by the groups of another match."""
    for text in found:
        template = re.sub("[#*]", text, template, count=1)
    return template


def candidate(name: str, family: str, names: Mapping[str, int | None]) -> Detected:
    """Match a layout with names, below the prefix that gives most matches.

    Args:
        name: Name of the layout.
        family: Name of our backbone class.
        names: Names of the tensors, with their dimensions where these are known.
    """
    if name == OURS:
        rules = LAYOUTS[PLAIN_LAYOUTS[family]].rules
        rules = tuple(rule._replace(theirs=rule.ours, dims=None) for rule in rules)
        other: tuple[str, ...] = OUR_HEADS
    else:
        layout = layout_of(name)
        rules, other = layout.rules, (*layout.heads, *layout.unused)
    known = any_of(rule.theirs for rule in rules)
    blocks = any_of(rule.theirs for rule in rules if rule.ours.startswith(BLOCKS))
    sized = {
        dims: any_of(rule.theirs for rule in rules if rule.dims == dims)
        for dims in {rule.dims for rule in rules} - {None}
    }
    counts: Counter[str] = Counter()
    for full_name, dims in names.items():
        parts = full_name.split(".")
        for cut in range(min(len(parts), PREFIX_PARTS)):
            bare = ".".join(parts[cut:])
            differs = (p for d, p in sized.items() if dims not in (d, None))
            if known.fullmatch(bare) and not any(p.fullmatch(bare) for p in differs):
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    best = max(counts, key=lambda prefix: (counts[prefix], -len(prefix)), default="")
    inner = [n.removeprefix(best) for n in names if n.startswith(best)]
    others = any_of(other)
    return Detected(
        name,
        family,
        best,
        counts[best],
        sum(not others.fullmatch(n) for n in inner),
        any(map(blocks.fullmatch, inner)),
    )


def detect(names: Iterable[str], source: str | None = None) -> Detected:
    """Find the layout that matches most of a checkpoint's names.

    Our ResNet has torchvision's names, which is then the answer: the names do not tell
    the two apart.

    Args:
        names: Names of the checkpoint's tensors, or the tensors by name: two layouts
            may have the same names, and their weights different dimensions.
        source: The only layout to consider; all if None.

    Raises:
        ValueError: If no layout matches more than half of the names below a prefix,
            including blocks.
    """
    tensors = names if isinstance(names, Mapping) else dict.fromkeys(names)
    dims = {n: t.dim() if isinstance(t, Tensor) else None for n, t in tensors.items()}
    names = list(dims)
    pairs = [(name, layout.family) for name, layout in LAYOUTS.items()]
    # Our ResNet's names are torchvision's.
    pairs += [(OURS, f) for f in PLAIN_LAYOUTS if f != "SpikingResNet"]
    if source is not None:
        pairs = [pair for pair in pairs if pair[0] == source]
        pairs = pairs or [(source, layout_of(source).family)]
    found = [candidate(name, family, dims) for name, family in pairs]
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
    """Return the error for names of no known layout: what was found and expected."""
    nearest = sorted(found, key=lambda one: -one.matches)[:NEAREST]
    shares = [
        f"{one.name} matches {one.matches} of {one.names}"
        + (f" below {one.prefix!r}" if one.prefix else "")
        + ("" if one.blocks else ", no blocks")
        for one in nearest
        if one.matches
    ]
    return (
        f"{'; '.join(shares) or f'none of {len(names)} names is known'}, such as "
        f"{', '.join(names[:3])}; expected a layout that matches more than half of the "
        f"backbone's names and its blocks: {', '.join(LAYOUTS)}, or {OURS}"
    )


def matches_any(name: str, templates: Iterable[str]) -> bool:
    """Whether a name matches one of the rules' names."""
    return any(name_pattern(template).fullmatch(name) for template in templates)


def layout_of(name: str) -> Layout:
    """Return a layout by its name."""
    if name not in LAYOUTS:
        raise ValueError(f"unknown layout {name!r}; expected one of {list(LAYOUTS)}")
    return LAYOUTS[name]
