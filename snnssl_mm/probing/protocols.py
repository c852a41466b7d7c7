"""Training settings of the probes that train a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mmengine.config import Config


class Protocol(NamedTuple):
    """What a trained probe does; ``probes = {NAME: dict(...)}`` of a config overrides.

    Attributes:
        iterations: Batches, rounded up to whole epochs. A fixed number, whatever the
            share of labels: few labels are shown more often.
        batch_size: Images a batch; fewer if there are not as many.
        lr: Highest learning rate, after the warm-up; it ends at zero (cosine).
        weight_decay: Of the optimizer; biases and norms have none when fine-tuning.
        warmup: Share of the iterations in which the learning rate rises.
        fraction: Share of the labels, the same of each class, drawn by the seed.
        frozen: Whether the backbone stays as it is, and SGD with momentum trains a
            linear classifier on top; otherwise AdamW trains everything.
        layer_decay: Factor of the learning rate from one layer to the one below.
    """

    iterations: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float = 0.0
    fraction: float = 1.0
    frozen: bool = False
    layer_decay: float = 1.0


# Two to nine minutes each for the demo's backbone, measured on two cores that other
# work shared; tried on its seed 0 only, not tuned. configs/_base_/datasets has
# those of CIFAR-10 and ImageNet.
PROTOCOLS = {
    # As linear probes are usually trained, on features of mean 0 and variance 1.
    "linear-augmented": Protocol(1000, 128, 0.1, 1e-6, frozen=True),
    "semi-1pct": Protocol(500, 64, 1e-3, 0.05, 0.1, fraction=0.01, layer_decay=0.7),
    "semi-10pct": Protocol(800, 64, 1e-3, 0.05, 0.1, fraction=0.1, layer_decay=0.7),
    "finetune": Protocol(1000, 64, 1e-3, 0.05, 0.1, layer_decay=0.7),
}


def protocol_of(cfg: Config, probe: str) -> Protocol:
    """Return a probe's protocol, with what the config's ``probes`` overrides.

    Raises:
        ValueError: If an override is unknown or out of range.
    """
    settings: dict[str, Any] = dict(cfg.get("probes") or {})
    require_known(settings, PROTOCOLS, "probes")
    overrides: dict[str, Any] = dict(settings.get(probe) or {})
    require_known(overrides, Protocol._fields, f"probes[{probe!r}]")
    protocol = PROTOCOLS[probe]._replace(**overrides)
    for name in ("iterations", "batch_size", "lr", "fraction"):
        value = getattr(protocol, name)
        if not value > 0:
            raise ValueError(
                f"the config's probes[{probe!r}] has {name}={value}; expected a number "
                "above 0"
            )
    return protocol


def require_known(found: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse names that mean nothing.

    Raises:
        ValueError: It names them and those that are known.
    """
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ValueError(
            f"the config's {where} has {', '.join(unknown)}; expected some of "
            f"{', '.join(known)}"
        )
