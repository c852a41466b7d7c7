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
        loadable: Tensors of the state dict that the module loads.
        names: All tensor names of the module.
        problems: A phrase for each of them that is missing, has another shape, or
            values that are not finite.
        left_over: Names in the state dict that the module does not have.
    """

    loadable: Mapping[str, Tensor]
    names: frozenset[str]
    problems: Mapping[str, str]
    left_over: list[str]

    def part(self, prefix: str) -> TensorMatch:
        """Restrict the match to the names that begin with ``prefix``.

        Left-over tensors count if they belong to a child that the module has, such as
        further blocks; a classifier on top does not count.
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
        """Whether every tensor has a counterpart."""
        return not self.problems and not self.left_over

    @property
    def empty(self) -> bool:
        """Whether nothing fits except BatchNorm's counters, which have a default."""
        return all(
            name in self.problems
            or (name.endswith("num_batches_tracked") and name not in self.loadable)
            for name in self.names
        )

    @property
    def loaded(self) -> int:
        """Number of the module's tensors that the state dict provides."""
        return len(self.names) - len(self.problems)

    def __str__(self) -> str:
        """Describe what does not fit."""
        text = f"{len(self.problems)} of {len(self.names)} tensors do not match"
        if self.left_over:
            text += f" and {len(self.left_over)} are left over"
        phrases = [*self.problems.values()]
        phrases += [f"{name} is not in the model" for name in self.left_over]
        return f"{text}, first: {first(phrases)}"


def first(phrases: list[str]) -> str:
    """Join the first few phrases."""
    return "; ".join(phrases[:SHOWN])


def match_tensors(module: nn.Module, offered: Mapping[str, Any]) -> TensorMatch:
    """Find what a module would load, by name, shape, values and its own conversions.

    The modules' own loading code runs on a copy on the meta device, so tensors that
    they convert (names of earlier versions, position embeddings of another size) count
    as fitting.

    Args:
        module: The module; its tensors are not changed.
        offered: Tensors by the module's names; its ``_metadata`` is used.
    """
    wanted = module.state_dict()
    tensors = OrderedDict((k, v) for k, v in offered.items() if isinstance(v, Tensor))
    if hasattr(offered, "_metadata"):
        tensors._metadata = offered._metadata  # type: ignore[attr-defined]
    unfilled = unfilled_copy(module)
    problems: dict[str, str] = {}
    for name in wanted.keys() & tensors.keys():
        if not is_finite(tensors[name]) and is_finite(wanted[name]):
            problems[name] = f"{name} has values that are NaN or infinite"
            del tensors[name]
    try:
        missing, left_over = load_unfilled(unfilled, tensors)
    except RuntimeError:  # other shapes, which the module does not convert
        for name in wanted.keys() & tensors.keys():
            shapes = tuple(tensors[name].shape), tuple(wanted[name].shape)
            if shapes[0] != shapes[1]:
                problems[name] = f"{name} has shape {shapes[0]} instead of {shapes[1]}"
                del tensors[name]
        missing, left_over = load_unfilled(unfilled, tensors)
    for name in missing:
        problems.setdefault(name, f"{name} is missing")
    ordered = {name: problems[name] for name in wanted if name in problems}
    return TensorMatch(tensors, frozenset(wanted), ordered, left_over)


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; true on the meta device."""
    if tensor.is_meta or not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor).all())


def unfilled_copy(module: nn.Module) -> nn.Module:
    """Copy a module with its tensors on the meta device."""
    memo: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        empty: Tensor = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, tensor.requires_grad)
        memo[id(tensor)] = empty
    return copy.deepcopy(module, memo)


def load_unfilled(
    module: nn.Module, tensors: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """Load into a module on the meta device; return missing and left-over names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter.*")
        result = module.load_state_dict(tensors, strict=False)
    return list(result.missing_keys), list(result.unexpected_keys)
