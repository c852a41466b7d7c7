"""Registration of compiled kernels as torch operators, with little work per call.

``torch.library.custom_op`` does the same in five to ten times the host time of
:class:`torch.library.Library`, which is more than a kernel takes on a small map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.reference import refuse_tangents

LIBRARY = torch.library.Library("snnssl_mm", "FRAGMENT")


class Operator:
    """An operator ``torch.ops.snnssl_mm.NAME``, opaque to ``torch.compile``.

    It differentiates once, in reverse mode. A second derivative and forward mode raise:
    torch passes over the tangents of such operators, so that ``torch.func.jvp`` and
    what is built on it would give zeros. The check stands in the dispatcher, where it
    also meets tensors inside ``torch.func`` transforms and compiled functions.

    Args:
        schema: ``'NAME(Tensor x, ...) -> ...'``.
        compute: Computes the outputs, on any device.
        fake: Allocates outputs of the same shapes, types and strides.
        save: Called with the context, the inputs and the output before a backward pass.
        backward: Called with the context and the gradients of the outputs; returns that
            of every input. Without it the operator has no derivative.
        mutated: Places of the inputs that ``compute`` writes to, where given.
    """

    def __init__(
        self,
        schema: str,
        compute: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[[Any, tuple[Any, ...], Any], None] | None = None,
        backward: Callable[..., Any] | None = None,
        mutated: tuple[int, ...] = (),
    ) -> None:
        self.name = schema.partition("(")[0]
        self.save, self.backward, self.mutated = save, backward, mutated
        LIBRARY.define(schema)
        LIBRARY.impl(self.name, compute, "CompositeExplicitAutograd")
        LIBRARY.impl(self.name, self._differentiate, "Autograd", with_keyset=True)
        torch.library.register_fake(f"snnssl_mm::{self.name}", fake, lib=LIBRARY)
        self.op = getattr(torch.ops.snnssl_mm, self.name).default

    def __call__(self, *args: Any) -> Any:
        """Call the operator."""
        return self.op(*args)

    def _differentiate(self, keyset: Any, *args: Any) -> Any:
        refuse_tangents(f"snnssl_mm::{self.name}", *args)
        if torch.is_grad_enabled() and any(
            isinstance(value, Tensor) and value.requires_grad for value in args
        ):
            return Differentiated.apply(self, keyset, *args)
        return self.compute_below(keyset, *args)

    def compute_below(self, keyset: Any, *args: Any) -> Any:
        """Call what autograd wraps."""
        with torch._C._AutoDispatchBelowAutograd():
            output = self.op.redispatch(keyset & torch._C._after_autograd_keyset, *args)
        for place in self.mutated:  # so that autograd notices a saved one has changed
            if args[place] is not None:
                torch.autograd.graph.increment_version(args[place])
        return output


class Differentiated(torch.autograd.Function):
    """Call of an :class:`Operator` that autograd records."""

    @staticmethod
    def forward(ctx: Any, operator: Operator, keyset: Any, *args: Any) -> Any:
        """Compute the outputs."""
        output = operator.compute_below(keyset, *args)
        ctx.operator = operator
        ctx.set_materialize_grads(False)
        if operator.save is not None:
            operator.save(ctx, args, output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the gradients of the inputs."""
        if ctx.operator.backward is None:
            raise NotImplementedError(
                f"snnssl_mm::{ctx.operator.name} has no derivative; of neurons and "
                "losses there is a first one only"
            )
        gradients = ctx.operator.backward(ctx, *grads)
        single = isinstance(gradients, Tensor)
        return None, None, *((gradients,) if single else gradients)
