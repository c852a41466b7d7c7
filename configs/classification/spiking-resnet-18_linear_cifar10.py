# Linear probe on CIFAR-10, https://github.com/open-mmlab/mmpretrain/blob/main/configs/resnet/resnet18_8xb16_cifar10.py
# snnssl train CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spiking-resnet-18_ctl_cifar10.py. SGD and cosine as on ImageNet.
_base_ = [
    'spikformer-4-384_linear_cifar10.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        frozen_stages=4,  # the stem and all stages
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint=''),
        **_base_.sew_resnet_18_cifar),
    head=dict(in_channels=512))
