# Linear probe on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/barlowtwins/benchmarks/resnet50_8xb32-linear-coslr-100e_in1k.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# The paper reports 70.1 % top-1 but not the probe's recipe. This one is that of Barlow
# Twins: SGD, lr 0.3 for 256 images, cosine, 100 epochs, crops and flips; not run yet.
_base_ = [
    'mmpretrain::barlowtwins/benchmarks/resnet50_8xb32-linear-coslr-100e_in1k.py',
    '../_base_/guards.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.Spikformer',
        arch='16-512',
        stem='imagenet',
        frozen_stages=16,  # the stem and all blocks
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint='')),
    head=dict(type='snnssl_mm.NormalizedLinearClsHead', in_channels=512))
default_hooks = _base_.guards
auto_scale_lr = dict(base_batch_size=256)
