"""A CUDA graph's stand-in on the CPU: operators recorded by dispatch, and rerun.

As with a graph, Python runs in the capture only: numbers that it read are fixed, and
tensors are read from and written to the memory that they had. Unlike a graph's, this
capture computes, so tensors from before it are restored at its end.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def tensors_of(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def storage(tensor):
    return tensor.untyped_storage().data_ptr()


def written(func, args, kwargs):
    """Tensors among the arguments that an operator writes to."""
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[index] if index < len(args) else kwargs.get(argument.name)
            yield from tensors_of(given)
    if func.overloadpacket.__name__ == "native_batch_norm":  # not in its schema
        yield from tensors_of(args[3:5])


class Tape(TorchDispatchMode):
    """Record operators while they compute."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.created = set()  # storages of outputs; all live as long as the tape
        self.before = {}  # contents of other tensors that were written to

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for tensor in written(func, args, kwargs):
            if storage(tensor) not in self.created:
                kept = (tensor, tensor.detach().clone())
                self.before.setdefault((tensor.data_ptr(), tensor.shape), kept)
        outputs = func(*args, **kwargs)
        given = {storage(tensor) for tensor in tensors_of((args, kwargs))}
        fresh = [t for t in tensors_of(outputs) if storage(t) not in given]
        self.created.update(map(storage, fresh))
        self.calls.append((func, args, kwargs, outputs))
        return outputs

    def rerun(self):
        """Compute everything again, into the memory of the recording."""
        for func, args, kwargs, outputs in self.calls:
            results = func(*args, **kwargs)
            given = {storage(tensor) for tensor in tensors_of((args, kwargs))}
            for old, new in zip(tensors_of(outputs), tensors_of(results), strict=True):
                if storage(old) not in given:  # neither a view nor in place
                    old.copy_(new)

    def restore(self):
        for tensor, content in self.before.values():
            tensor.copy_(content)


class TapeBackend:
    """Capture as :class:`snnssl_mm.engine.graphed_step.CUDAGraphs` does, on a CPU."""

    device = "cpu"
    rate_dtype = torch.float64  # AdamW on a CPU reads a double

    def __init__(self):
        self.captures = 0

    def capture(self, step):
        self.captures += 1
        tape = Tape()
        with tape:
            values = step()
        with torch.no_grad():
            tape.restore()

        @torch.no_grad()
        def replay():
            tape.rerun()
            return values

        return replay


class Synchronizations(TorchDispatchMode):
    """Record operators for whose result the host waits."""

    WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "_unique2")
    WAITING += ("masked_select", "unique_dim", "unique_consecutive")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        boolean = any(
            t.dtype in (torch.bool, torch.uint8) for t in tensors_of(args[1:])
        )
        indexed = name in ("index", "index_put", "index_put_") and boolean
        if name in self.WAITING or indexed:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def synchronizations():
    """Yield a list of what in the block makes the host wait for a device."""
    with Synchronizations() as mode, ExitStack() as stack:
        for name in ("tolist", "cpu"):  # no operators for a tensor of the CPU
            stack.enter_context(noted(name, mode.found))
        yield mode.found


def noted(name, found):
    """Note calls of a tensor's method."""
    method = getattr(torch.Tensor, name)

    def call(self, *args, **kwargs):
        found.append(name)
        return method(self, *args, **kwargs)

    return mock.patch.object(torch.Tensor, name, call)
