"""Conversion of a backbone's tensors between layouts: exact, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnssl_mm.conversion.classifier import read_classifier, write_classifier
from snnssl_mm.conversion.detect import (
    LAYOUTS,
    OUR_HEADS,
    OURS,
    PLAIN_LAYOUTS,
    detect,
    fill_placeholders,
    layout_of,
    matches_any,
    name_pattern,
)
from snnssl_mm.conversion.resnet_layouts import PLAIN_RESNET
from snnssl_mm.conversion.rules import Layout, Rule
from snnssl_mm.conversion.structure import (
    FAMILIES,
    add_given,
    differences,
    expected_shapes,
    family_of,
    find_settings,
    stored_settings,
)

PARTS = 3  # query, key, value
COUNTER = "num_batches_tracked"
State = dict[str, Tensor]


class Conversion(NamedTuple):
    """A converted backbone, and all tensors that were left out or added.

    Attributes:
        state: Tensors by their names in the target layout.
        source: Name of the source layout.
        target: Name of the target layout.
        family: Name of our backbone class.
        settings: Known settings of our backbone.
        heads: Source names of tensors after the backbone.
        unused: Source names of tensors that their code creates but never uses.
        unknown: Source names that match no rule.
        added: Names that the source lacked, filled with zeros.
        absorbed: Biases that were absorbed into the running mean of a batch norm.
        stored: Whether ``settings`` come from the config stored in the checkpoint.
        missing: Unknown settings that decide the function.
        notes: What a user must know or set, so that the network computes the same.
        classifier: Tensors of a linear classifier that were kept, by the names in our
            head, or in the target layout.
    """

    state: State
    source: str
    target: str
    family: str
    settings: dict[str, Any]
    heads: list[str]
    unused: list[str]
    unknown: list[str]
    added: list[str]
    absorbed: list[str]
    stored: bool
    missing: list[str]
    notes: list[str]
    classifier: State

    @property
    def complete(self) -> bool:
        """Whether all settings that decide the function are known."""
        return not self.missing

    @property
    def required(self) -> list[str]:
        """Missing settings that a user must give; none if weights only initialise."""
        layout = LAYOUTS.get(self.source)
        free = layout is None or layout.initialisation
        return [] if free else self.missing


def convert(
    state: Mapping[str, Tensor],
    target: str = OURS,
    source: str | None = None,
    allow_unknown: bool = False,
    stored: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    keep_head: bool | None = False,
) -> Conversion:
    """Convert a checkpoint's backbone.

    Args:
        state: Tensors of the checkpoint, with any prefix and heads; other content is
            ignored.
        target: ``'ours'`` or a layout of :data:`LAYOUTS`.
        source: Likewise; detected from the names if None.
        allow_unknown: Whether names that match no rule are left out (and listed)
            instead of raising.
        stored: Config of the backbone stored in the checkpoint, if there is one; that
            of another project's backbone is ignored.
        given: Settings of our backbone that are not visible in the tensors, see
            :func:`.structure.add_given`.
        keep_head: Whether a linear classifier is converted too; None: if there is one.

    Raises:
        ValueError: If the layout is unknown, a tensor is missing, has another shape or
            no place in the target, or the target computes something else.
    """
    state = find_tensors(state)
    found = detect(state, None if source == OURS else source)
    own_names = found.name == OURS or layout_of(found.name).rules == PLAIN_RESNET
    name = source or (OURS if own_names and family_of(stored) else found.name)
    ours = read(state, name, found.prefix, found.family, stored, given or {})
    if keep_head or (keep_head is None and ours.heads):
        kept, rest = read_classifier(ours.heads, state, found.prefix, ours.source)
        ours = ours._replace(classifier=kept, heads=rest)
    if ours.unknown and not allow_unknown:
        raise ValueError(
            f"{len(ours.unknown)} tensors are unknown to the layout {name!r}, such as "
            f"{', '.join(ours.unknown[:3])}: the network has a part that ours lacks. "
            "To leave them out, pass --allow-unknown"
        )
    if target == OURS:
        return ours
    return write(ours, target)


def find_tensors(content: Mapping[str, Any]) -> State:
    """Return the tensors or arrays of a checkpoint, at the top or below one key.

    Raises:
        ValueError: If there are none; names the keys.
    """
    kinds = (Tensor, np.ndarray)
    for part in (content, *(v for v in content.values() if isinstance(v, Mapping))):
        found = {k: torch.as_tensor(v) for k, v in part.items() if isinstance(v, kinds)}
        if found and all(isinstance(name, str) for name in found):
            return found
    keys = ", ".join(map(str, list(content)[:6])) or "nothing"
    raise ValueError(
        f"found no named tensors, but {keys}; expected a model's state_dict, alone or "
        "below a key such as state_dict"
    )


def read(
    state: Mapping[str, Tensor],
    name: str,
    prefix: str,
    family: str,
    stored: Mapping[str, Any] | None,
    given: Mapping[str, Any],
) -> Conversion:
    """Convert a checkpoint to our layout."""
    layout = LAYOUTS.get(name)
    bare = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    outside = [k for k in state if not k.startswith(prefix)]
    absorbed: list[str] = []
    if layout is None:
        templates = [rule.ours for rule in LAYOUTS[PLAIN_LAYOUTS[family]].rules]
        ours = {k: v for k, v in bare.items() if matches_any(k, templates)}
        rest = [k for k in bare if k not in ours]
    else:
        ours, rest, absorbed = apply_rules(bare, layout)
    heads = layout.heads if layout else OUR_HEADS
    unused = layout.unused if layout else ()
    # Tensors outside of the backbone's prefix belong to the modules that use it.
    left = {k: matches_any(k, heads) for k in rest} | {k: bool(prefix) for k in outside}
    own = stored if family_of(stored) == family else None
    if own is not None:
        if given:
            raise ValueError(
                "the checkpoint stores the settings that it was trained with; leave "
                f"out {', '.join(given)}"
            )
        settings = stored_settings(own)
    else:
        settings = find_settings(family, ours)
        fixed = dict(layout.settings) if layout else {}
        if "shortcut" in settings and fixed.get("shortcut", "ms") != "ms":
            raise ValueError(
                "the first stage has a stride, as only an MS-ResNet's; the layout "
                f"{name!r} has the shortcut {fixed['shortcut']!r}"
            )
        settings |= fixed
    settings = add_given(family, settings, given)
    added = fill_in(ours, expected_shapes(family, settings))
    return Conversion(
        ours,
        name,
        OURS,
        family,
        settings,
        heads=[k for k, is_head in left.items() if is_head],
        unused=[k for k in rest if matches_any(k, unused)],
        unknown=[
            k for k, head in left.items() if not head and not matches_any(k, unused)
        ],
        added=added,
        absorbed=absorbed,
        stored=own is not None,
        missing=[] if own else missing_settings(family, settings, layout),
        notes=[layout.note] if layout and layout.note else [],
        classifier={},
    )


def missing_settings(
    family: str, settings: Mapping[str, Any], layout: Layout | None
) -> list[str]:
    """Return unknown settings that decide the function, see :class:`Layout`."""
    hidden = FAMILIES[family].hidden
    missing = [k for k in (layout.open if layout else hidden) if k not in settings]
    arch = settings.get("arch")
    asked = FAMILIES[family].heads == "asked"
    heads = not asked or not isinstance(arch, dict) or "num_heads" in arch
    return missing if heads else ["num_heads", *missing]


def apply_rules(
    theirs: Mapping[str, Tensor], layout: Layout
) -> tuple[State, list[str], list[str]]:
    """Apply a layout's rules to a checkpoint.

    Returns:
        Our tensors; their names that match no rule; their names of absorbed biases.
    """
    rules = [(name_pattern(rule.theirs), rule) for rule in layout.rules]
    complete: State = {}
    parts: dict[str, dict[int, Tensor]] = {}
    biases: list[tuple[str, Rule, Tensor]] = []
    rest, absorbed = [], []
    for name, tensor in theirs.items():
        known = ((m, rule) for e, rule in rules if (m := e.fullmatch(name)))
        found = next(known, None)
        if found is None:
            rest.append(name)
            continue
        match, rule = found
        ours = fill_placeholders(rule.ours, match.groups())
        if rule.absorbed:
            biases.append((ours, rule, tensor))
            absorbed.append(name)
        elif rule.part is None or ours.endswith(COUNTER):
            complete.setdefault(ours, expand_dims(ours, tensor))
        else:
            parts.setdefault(ours, {})[rule.part] = expand_dims(ours, tensor)
    for ours, pieces in parts.items():
        if len(pieces) == PARTS:
            complete[ours] = torch.cat([pieces[part] for part in range(PARTS)])
    for ours, rule, bias in biases:
        if ours in complete:  # else fill_in() raises
            complete[ours] = complete[ours].clone()
            rule.of(complete[ours]).sub_(bias)
    return complete, rest, absorbed


def expand_dims(name: str, tensor: Tensor) -> Tensor:
    """Add our trailing 1x1 to the weight of a linear layer or 1-D convolution."""
    if name.endswith("conv.weight"):
        return tensor.reshape(*tensor.shape, *(1,) * (4 - tensor.dim()))
    return tensor


def fill_in(ours: State, shapes: Mapping[str, torch.Size]) -> list[str]:
    """Add zeros for tensors that another layout may lack; return their names.

    These are biases in front of a batch norm, and the batch norm's batch counter.

    Raises:
        ValueError: If another tensor is missing, left over or has another shape.
    """
    example = next(iter(ours.values()))
    added = [
        name
        for name in shapes
        if name not in ours and name.endswith((".conv.bias", COUNTER))
    ]
    for name in added:
        counts = name.endswith(COUNTER)
        dtype = torch.long if counts else example.dtype
        ours[name] = torch.zeros(shapes[name], dtype=dtype)
    problems = [f"{name} is missing" for name in shapes if name not in ours]
    for name, tensor in ours.items():
        if name not in shapes:
            problems.append(f"{name} is unexpected")
        elif tensor.shape != shapes[name]:
            wanted = tuple(shapes[name])
            problems.append(f"{name} is {tuple(tensor.shape)} instead of {wanted}")
    if problems:
        raise ValueError(
            f"the tensors do not make a backbone of ours: {len(problems)} do not "
            f"match, first: {'; '.join(problems[:3])}"
        )
    return added


def write(ours: Conversion, target: str) -> Conversion:
    """Convert a backbone from our layout to another one.

    Raises:
        ValueError: If that layout has no place for a tensor, or is another network's.
    """
    layout = layout_of(target)
    notes = setting_notes(ours, layout) if layout.family == ours.family else []
    shortcut = ours.settings.get("shortcut")
    wanted = layout.settings.get("shortcut")
    if layout.family != ours.family:
        raise ValueError(f"{target!r} is a {layout.family}'s, this is a {ours.family}")
    if "ms" in (shortcut, wanted) and shortcut != wanted:
        raise ValueError(
            f"{target!r} has the shortcut {wanted or 'of a plain ResNet'}, the network "
            f"has {shortcut or 'another one'}: their first stages differ"
        )
    state = dict(ours.state)
    absorbed = [*ours.absorbed, *absorb_biases(state, layout)]
    rules = [(name_pattern(rule.ours), rule) for rule in layout.rules]
    theirs: State = {}
    homeless = []
    for name, tensor in state.items():
        matches = [(m, rule) for e, rule in rules if (m := e.fullmatch(name))]
        if not any(not rule.absorbed for _, rule in matches):
            homeless.append(name)
        for match, rule in matches:
            new = layout.prefix + fill_placeholders(rule.theirs, match.groups())
            theirs[new] = reduce_dims(name, tensor, rule)
    if homeless:
        raise ValueError(
            f"{target!r} has no place for {len(homeless)} tensors, such as "
            f"{', '.join(homeless[:3])}"
        )
    added = [k for k in theirs if is_absorbed(k.removeprefix(layout.prefix), layout)]
    return ours._replace(
        state=theirs,
        target=target,
        absorbed=absorbed,
        added=[*ours.added, *added],
        notes=[*ours.notes, *notes],
        classifier=write_classifier(ours.classifier, target),
    )


def setting_notes(ours: Conversion, layout: Layout) -> list[str]:
    """List the settings that differ in the target's code and can be set there.

    Raises:
        ValueError: If a setting differs that cannot be set there.
    """
    found = differences(ours.family, ours.settings, layout.settings)
    if not ours.complete:
        what = ", ".join(found) or "nothing that is known"
        return [
            "the checkpoint does not say what it was trained with; the target's code "
            f"differs from this package's defaults in: {what}"
        ]
    fixed = [phrase for name, phrase in found.items() if "neuron" not in name]
    if fixed:
        raise ValueError(
            f"{layout.source} computes something else with these tensors: "
            f"{'; '.join(fixed)}"
        )
    return [f"set in their code: {phrase}" for phrase in found.values()]


def absorb_biases(state: State, layout: Layout) -> list[str]:
    """Move biases that the layout lacks into the batch norms after them, in place."""
    places = [rule.ours for rule in layout.rules]
    moved = [
        name
        for name in state
        if name.endswith(".conv.bias") and not matches_any(name, places)
    ]
    for name in moved:
        mean = f"{name.removesuffix('conv.bias')}bn.running_mean"
        state[mean] = state[mean] - state.pop(name)
    return moved


def reduce_dims(name: str, tensor: Tensor, rule: Rule) -> Tensor:
    """Take a rule's part of our tensor, without the dimensions that theirs lacks."""
    if rule.part is not None and not name.endswith(COUNTER):
        tensor = rule.of(tensor).clone()
    if rule.absorbed:
        return torch.zeros_like(tensor)
    if rule.dims and name.endswith("conv.weight"):
        return tensor.reshape(tensor.shape[: rule.dims])
    return tensor


def is_absorbed(name: str, layout: Layout) -> bool:
    """Whether a name of theirs is a bias that ours lacks."""
    return matches_any(name, (r.theirs for r in layout.rules if r.absorbed))
