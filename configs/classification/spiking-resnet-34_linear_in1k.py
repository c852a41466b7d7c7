# Linear probe on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/barlowtwins/benchmarks/resnet50_8xb32-linear-coslr-100e_in1k.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# The recipe of spikformer-16-512_linear_in1k.py; not run yet.
_base_ = [
    'spikformer-16-512_linear_in1k.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        frozen_stages=4,  # the stem and all stages
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint=''),
        **_base_.sew_resnet_34))
