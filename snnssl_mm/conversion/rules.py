"""Rules of a layout: from its names of tensors to ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A tensor's name there and here.

    A name may contain ``#`` for a number and end with ``*`` for anything; both names
    of a rule have the same ones.

    Attributes:
        theirs: Name in their layout.
        ours: Name in ours.
        part: Which third of our tensor it is (query, key, value), or None for all.
        dims: Dimensions of their tensor, where it lacks ours' trailing 1x1; or None.
        absorbed: Whether theirs is the bias of a convolution that has none here, and
            ``ours`` the running mean of the batch norm behind it, which absorbs it:
            mean(ours) = mean(theirs) - bias, exactly the same function.
    """

    theirs: str
    ours: str
    part: int | None = None
    dims: int | None = None
    absorbed: bool = False


class Layout(NamedTuple):
    """A project's layout of one backbone family.

    Attributes:
        family: Our backbone.
        source: Whose it is.
        rules: Each of our tensors once, and theirs that ours absorb.
        heads: Names of what follows the backbone and has no place in it.
        unused: Names of what their code makes but never computes with.
        prefix: In front of the names when written.
        settings: Of our backbone that computes the same, beside its size.
        note: What a user must know beside that.
        open: Settings of our backbone that decide the function, and that neither the
            tensors nor ``settings`` say; the user is asked for them.
        initialisation: Whether the weights may be those of another, non-spiking
            network; then what is open need not be known.
    """

    family: str
    source: str
    rules: tuple[Rule, ...]
    heads: tuple[str, ...] = ("head.*",)
    unused: tuple[str, ...] = ()
    prefix: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})
    note: str = ""
    open: tuple[str, ...] = ()
    initialisation: bool = False
