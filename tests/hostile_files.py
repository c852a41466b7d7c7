"""Checkpoints that execute code when they are read."""

import io
import os
import pickle

import torch


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


class HostileAttribute:
    """Reads an attribute that mmengine's list of allowed functions gives access to."""

    def __reduce__(self):
        return getattr, (torch.nn.Module, "__init__")


class Evaluated:
    """Makes a folder by evaluating text, see :class:`Hostile`."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({self.folder!r})",)


def hostile_content(folder, state=None):
    """A checkpoint whose only fault is one entry."""
    return {"state_dict": state or {"weight": torch.ones(2)}, "meta": Hostile(folder)}


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def variants(folder):
    """Return the bytes of hostile files by the way they are made."""
    content = hostile_content(folder)
    return {
        "function": saved(content),
        "text": saved({"a": Evaluated(folder)}),
        "attribute": saved({"a": HostileAttribute()}),
        "protocol 4": saved(content, pickle_protocol=4),
        "before torch 1.6": saved(content, _use_new_zipfile_serialization=False),
        "bare pickle": pickle.dumps(content, protocol=2),
        "bare pickle, protocol 4": pickle.dumps(content, protocol=4),
    }
