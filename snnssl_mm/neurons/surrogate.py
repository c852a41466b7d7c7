r"""Surrogate derivatives h and their antiderivatives g.

A spiking neuron fires ``1[u >= theta]``, whose derivative is zero almost everywhere.
Training replaces it by a bump h(u - theta). The analog path of MixedLIF emits the
bump's antiderivative g(u - theta), so that h is its true local derivative
[arXiv 2511.18542; triangle, atan and sigmoid as in SpikingJelly].

========== ======== ============================= ===============================
name       width    h(v)                          g(v)
========== ======== ============================= ===============================
rectangle  a = 1    1[abs(v) < a/2] / a           clamp(v/a + 1/2, 0, 1)
triangle   a = 1    max(0, 1 - abs(v)/a) / a      its integral, 0 to 1
atan       alpha=2  alpha/2 / (1 + (pi/2 alpha    atan(pi/2 alpha v) / pi + 1/2
                    v)^2)
sigmoid    alpha=4  alpha g(v) (1 - g(v))         1 / (1 + exp(-alpha v))
========== ======== ============================= ===============================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

DEFAULT_WIDTH = {"rectangle": 1.0, "triangle": 1.0, "atan": 2.0, "sigmoid": 4.0}
"""Width a of a rectangle, half-width a of a triangle, sharpness alpha of the rest."""


class Surrogate(NamedTuple):
    """One surrogate family with its width.

    Attributes:
        name: ``'rectangle'``, ``'triangle'``, ``'atan'`` or ``'sigmoid'``.
        width: a (rectangle, triangle: wider is flatter) or alpha (atan, sigmoid:
            larger is sharper).

    Example:
        >>> surrogate = Surrogate.parse({"type": "atan", "alpha": 3.0})
        >>> surrogate.derivative(torch.zeros(1))
        tensor([1.5000])
    """

    name: str
    width: float

    @classmethod
    def parse(cls, spec: str | Mapping[str, Any] | Surrogate) -> Surrogate:
        """Read ``'atan'`` or ``dict(type='atan', alpha=3.0)`` (or ``width=``).

        Raises:
            ValueError: If the family is unknown or its width is not positive.
        """
        if isinstance(spec, Surrogate):
            return spec
        options = {"type": spec} if isinstance(spec, str) else dict(spec)
        name = options.pop("type", options.pop("name", None))
        if name not in DEFAULT_WIDTH:
            raise ValueError(
                f"unknown surrogate {name!r}; expected one of {sorted(DEFAULT_WIDTH)}"
            )
        key = next((k for k in ("width", "alpha") if k in options), None)
        width = float(options.pop(key)) if key else DEFAULT_WIDTH[name]
        if options:
            raise ValueError(
                f"unknown option {next(iter(options))!r} of surrogate {name!r}; "
                "expected 'width' or 'alpha'"
            )
        if not (0 < width < math.inf):
            raise ValueError(f"surrogate width must be positive, got {width}")
        return cls(name, width)

    def derivative(self, v: Tensor) -> Tensor:
        """h(v), the surrogate of the spike's derivative; strict at its edges."""
        a = self.width
        if self.name == "rectangle":
            return (v.abs() < a / 2).to(v.dtype) / a
        if self.name == "triangle":
            return (1 - v.abs() / a).clamp(min=0) / a
        if self.name == "atan":
            return (a / 2) / (1 + (math.pi / 2 * a * v).square())
        g = torch.sigmoid(a * v)
        return a * g * (1 - g)

    def antiderivative(self, v: Tensor) -> Tensor:
        """g(v), from 0 to 1 with g' = h almost everywhere and g(0) = 1/2."""
        a = self.width
        if self.name == "rectangle":
            return (v / a + 0.5).clamp(0, 1)
        if self.name == "triangle":
            tail = (1 - v.abs() / a).clamp(min=0).square() / 2
            return torch.where(v < 0, tail, 1 - tail)
        if self.name == "atan":
            return torch.atan(math.pi / 2 * a * v) / math.pi + 0.5
        return torch.sigmoid(a * v)
