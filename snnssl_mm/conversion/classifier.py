"""Linear classifiers after a backbone, kept on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from snnssl_mm.conversion.detect import (
    LAYOUTS,
    OUR_CLASSIFIER,
    fill_placeholders,
    layout_of,
    name_pattern,
)

State = dict[str, Tensor]


def read_classifier(
    heads: Iterable[str], state: Mapping[str, Tensor], prefix: str, source: str
) -> tuple[State, list[str]]:
    """Read a classifier by the names in our head.

    Args:
        heads: Names of tensors after the backbone.
        state: All tensors.
        prefix: Prefix that these names may lack.
        source: Name of the layout.

    Returns:
        The tensors, and the names of ``heads`` that are not among them.

    Raises:
        ValueError: If there is none, or its parts do not belong together.
    """
    layout = LAYOUTS.get(source)
    found: State = {}
    rest = []
    for name in heads:
        pairs = layout.classifier if layout else OUR_CLASSIFIER
        matches = (
            (m, new) for a, new in pairs if (m := name_pattern(a).fullmatch(name))
        )
        match, new = next(matches, (None, ""))
        if match is None:
            rest.append(name)
        else:
            tensor = state[name] if name in state else state[prefix + name]
            found[fill_placeholders(new, match.groups())] = tensor
    layers = {name.partition(".")[0] for name in found}
    wanted = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    classes = {len(tensor) for tensor in found.values()}
    if "fc" not in layers or set(found) != wanted or len(classes) != 1:
        shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        raise ValueError(
            "expected a linear classifier of weight and bias, found "
            f"{shapes or 'none'}; leave out --with-head for the backbone alone"
        )
    return found, rest


def write_classifier(classifier: Mapping[str, Tensor], target: str) -> State:
    """Name a classifier's tensors as another layout does.

    Raises:
        ValueError: If that layout has no place for a part.
    """
    head = {
        fill_placeholders(theirs, match.groups()): tensor
        for name, tensor in classifier.items()
        for theirs, ours in layout_of(target).classifier
        if (match := name_pattern(ours).fullmatch(name))
    }
    if len(head) < len(classifier):
        raise ValueError(
            f"{target!r} has one classifier, the network has a distilled one too; "
            "leave out --with-head"
        )
    return head
