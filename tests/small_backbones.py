"""Every registered backbone, and settings that make it small."""

import inspect

import snnssl_mm.models  # noqa: F401  (registers them)
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.registry import MODELS

BACKBONES = {
    name: kind
    for name, kind in MODELS.module_dict.items()
    if inspect.isclass(kind) and issubclass(kind, SpikingBackbone)
}
SMALL = {
    "Spikformer": dict(
        arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=2), stem="cifar"
    ),
    "SpikingResNet": dict(depth=18, base_channels=8, num_stages=2, stem="cifar"),
    "SpikeDrivenTransformer": dict(
        arch=dict(embed_dims=16, depth=1, mlp_ratio=2), stem="cifar"
    ),
    "Spikingformer": dict(arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=2)),
    "MaxFormer": dict(arch=dict(embed_dims=16, depths=(1, 1, 1), mlp_ratio=2)),
    "QKFormer": dict(
        arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=2, mlp_ratio=2)
    ),
    "MetaSpikeFormer": dict(
        arch=dict(embed_dims=(4, 4, 8, 8), num_heads=2, depths=(1, 1), mlp_ratio=2)
    ),
    "ESpikeFormer": dict(
        arch=dict(embed_dims=(4, 4, 8, 8), num_heads=2, depths=(1, 1), mlp_ratio=2)
    ),
}
"""Settings that make a backbone small; all maps end with the last."""
