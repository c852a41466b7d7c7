"""Rules of a layout: from its names of tensors to ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor


class Rule(NamedTuple):
    """Name of a tensor in another layout and in this package's.

    A name may contain ``#`` for a number and end with ``*`` for anything; both names
    of a rule contain the same placeholders.

    Attributes:
        theirs: Name in the other layout.
        ours: Name in this package's layout.
        part: Index of the part of our tensor (query, key, value), or None for all.
        dims: Dimensions of their tensor if it lacks our trailing 1x1; or None.
        absorbed: Whether theirs is the bias of a convolution that has none here, and
            ``ours`` the running mean of the batch norm after it, which absorbs it:
            mean(ours) = mean(theirs) - bias gives exactly the same function.
        shares: Relative sizes of the parts of our tensor.
    """

    theirs: str
    ours: str
    part: int | None = None
    dims: int | None = None
    absorbed: bool = False
    shares: tuple[int, ...] = (1, 1, 1)

    def of(self, tensor: Tensor) -> Tensor:
        """Return the rule's part of our tensor, a view; all of it if it has no part."""
        if self.part is None:
            return tensor
        unit = len(tensor) // sum(self.shares)
        return tensor.split([share * unit for share in self.shares])[self.part]


class Layout(NamedTuple):
    """Another project's layout of one backbone family.

    Attributes:
        family: Name of our backbone class.
        source: Project that the layout comes from.
        rules: Rules for each of our tensors, and for theirs that ours absorb.
        heads: Names of tensors after the backbone.
        classifier: Those of a linear classifier, and the names in our head.
        head_neuron: Neuron in front of the classifier; options in addition to those of
            the backbone's, or None if there is no neuron.
        unused: Names of tensors that their code creates but never uses.
        prefix: Prefix of the names when written.
        settings: Settings of our backbone that computes the same, without its size.
        note: Further information for the user.
        open: Settings of our backbone that decide the function and follow neither from
            the tensors nor from ``settings``; the user is asked for them.
        initialisation: Whether the weights may be those of a non-spiking network, an
            initialisation only; then the open settings are not required.
    """

    family: str
    source: str
    rules: tuple[Rule, ...]
    heads: tuple[str, ...] = ("head.*",)
    classifier: tuple[tuple[str, str], ...] = (("head.*", "fc.*"),)
    head_neuron: Mapping[str, Any] | None = None
    unused: tuple[str, ...] = ()
    prefix: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})
    note: str = ""
    open: tuple[str, ...] = ()
    initialisation: bool = False
