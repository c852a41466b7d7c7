"""Training settings of the probes that train a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mmengine.config import Config


class Protocol(NamedTuple):
    """Training settings of a probe; a config overrides them by ``probes``.

    For example ``probes = {'finetune': dict(lr=5e-4)}``.

    Attributes:
        iterations: Number of batches, rounded up to complete epochs. It does not depend
            on the fraction of labels: few labels are repeated more often.
        batch_size: Images per batch; fewer if the set is smaller.
        lr: Peak learning rate after the warm-up; cosine decay to zero.
        weight_decay: Weight decay; biases and norms have none when fine-tuning.
        warmup: Share of the iterations with a rising learning rate.
        fraction: Share of the labels of each class, drawn by the seed.
        frozen: Whether to freeze the backbone and train a linear classifier by SGD with
            momentum; otherwise AdamW trains everything.
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


# Two to nine minutes each for the demo's backbone on two busy cores; tried on seed 0
# only, not tuned. configs/_base_/datasets overrides them for CIFAR-10 and ImageNet.
PROTOCOLS = {
    # As linear probes are usually trained, on features of mean 0 and variance 1.
    "linear-augmented": Protocol(1000, 128, 0.1, 1e-6, frozen=True),
    "semi-1pct": Protocol(500, 64, 1e-3, 0.05, 0.1, fraction=0.01, layer_decay=0.7),
    "semi-10pct": Protocol(800, 64, 1e-3, 0.05, 0.1, fraction=0.1, layer_decay=0.7),
    "finetune": Protocol(1000, 64, 1e-3, 0.05, 0.1, layer_decay=0.7),
}


def protocol_of(cfg: Config, probe: str) -> Protocol:
    """Return a probe's protocol with the overrides of the config's ``probes``.

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
    """Refuse unknown names.

    Raises:
        ValueError: If a name is unknown; it lists the known ones.
    """
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ValueError(
            f"the config's {where} has {', '.join(unknown)}; expected any of "
            f"{', '.join(known)}"
        )
