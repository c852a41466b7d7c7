"""Dry run of loading a state dict: what fits a module and what does not."""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SHOWN = 3  # names in a message


class TensorMatch(NamedTuple):
    """The result of :func:`match_tensors`.

    Attributes:
        loadable: Tensors of the state dict that the module takes.
        names: All names of the module.
        problems: A phrase for each of them that is missing or of another shape.
        left_over: Names of the state dict that the module has no place for.
    """

    loadable: Mapping[str, Tensor]
    names: frozenset[str]
    problems: Mapping[str, str]
    left_over: list[str]

    def part(self, prefix: str) -> TensorMatch:
        """Return what concerns the names that begin with ``prefix``.

        Of tensors that are left over it counts those below a child that the module
        has, such as further blocks, and no classifier on top.
        """
        names = frozenset(name for name in self.names if name.startswith(prefix))
        children = {name[len(prefix) :].partition(".")[0] for name in names}
        return TensorMatch(
            {k: v for k, v in self.loadable.items() if k.startswith(prefix)},
            names,
            {k: v for k, v in self.problems.items() if k in names},
            [
                name
                for name in self.left_over
                if name.startswith(prefix)
                and name[len(prefix) :].partition(".")[0] in children
            ],
        )

    @property
    def fits(self) -> bool:
        """Whether every tensor has its counterpart."""
        return not self.problems and not self.left_over

    @property
    def empty(self) -> bool:
        """Whether nothing fits but counters, which BatchNorm makes up if need be."""
        return all(
            name in self.problems
            or (name.endswith("num_batches_tracked") and name not in self.loadable)
            for name in self.names
        )

    @property
    def loaded(self) -> int:
        """How many tensors of the module are in the state dict."""
        return len(self.names) - len(self.problems)

    def __str__(self) -> str:
        """Say what does not fit."""
        text = f"{len(self.problems)} of {len(self.names)} tensors do not match"
        if self.left_over:
            text += f" and {len(self.left_over)} are left over"
        phrases = [*self.problems.values()]
        phrases += [f"{name} has no place" for name in self.left_over]
        return f"{text}, first: {first(phrases)}"


def first(phrases: list[str]) -> str:
    """Join the first few phrases."""
    return "; ".join(phrases[:SHOWN])


def match_tensors(module: nn.Module, offered: Mapping[str, Any]) -> TensorMatch:
    """Find what a module would load, by name, shape and its own conversions.

    The modules' own loading runs, on a copy without memory, so that what they convert
    (names of earlier versions, position embeddings of another size) counts as fitting.

    Args:
        module: The module, whose tensors stay as they are.
        offered: Tensors by the module's names; its ``_metadata`` is heeded.
    """
    wanted = module.state_dict()
    tensors = OrderedDict((k, v) for k, v in offered.items() if isinstance(v, Tensor))
    if hasattr(offered, "_metadata"):
        tensors._metadata = offered._metadata  # type: ignore[attr-defined]
    unfilled = unfilled_copy(module)
    problems: dict[str, str] = {}
    try:
        missing, left_over = load(unfilled, tensors)
    except RuntimeError:  # of other shapes, and the module does not convert them
        for name in wanted.keys() & tensors.keys():
            shapes = tuple(tensors[name].shape), tuple(wanted[name].shape)
            if shapes[0] != shapes[1]:
                problems[name] = f"{name} has shape {shapes[0]} instead of {shapes[1]}"
                del tensors[name]
        missing, left_over = load(unfilled, tensors)
    for name in missing:
        problems.setdefault(name, f"{name} is missing")
    ordered = {name: problems[name] for name in wanted if name in problems}
    return TensorMatch(tensors, frozenset(wanted), ordered, left_over)


def unfilled_copy(module: nn.Module) -> nn.Module:
    """Copy a module with tensors that have shapes and no memory."""
    memo: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        empty: Tensor = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, tensor.requires_grad)
        memo[id(tensor)] = empty
    return copy.deepcopy(module, memo)


def load(
    module: nn.Module, tensors: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """Load into a copy without memory; return missing and left-over names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter.*")
        result = module.load_state_dict(tensors, strict=False)
    return list(result.missing_keys), list(result.unexpected_keys)
