# Linear probe on CIFAR-10, https://github.com/open-mmlab/mmpretrain/blob/main/configs/resnet/resnet18_8xb16_cifar10.py
# snnssl train CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spikformer-4-384_ctl_cifar10.py. SGD and cosine as on ImageNet.
_base_ = [
    'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
    '../_base_/datasets/file_loading_32.py',
    '../_base_/guards.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.Spikformer',
        arch='4-384',
        stem='cifar',
        frozen_stages=4,  # the stem and all blocks
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint='')),
    head=dict(type='snnssl_mm.NormalizedLinearClsHead', in_channels=384))

# One GPU
train_dataloader = dict(batch_size=256)
val_dataloader = dict(batch_size=256)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.3, weight_decay=1e-6))
train_cfg = dict(max_epochs=100)
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', T_max=100, begin=0, end=100)
default_hooks = _base_.guards
auto_scale_lr = dict(base_batch_size=256)
