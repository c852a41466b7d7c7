# SEW-ResNet-18 on CIFAR-10, batch 256 on one GPU, 300 epochs; not run yet
# snnssl train configs/selfsup/spiking-resnet-18_ctl_cifar10.py --amp
_base_ = [
    'spikformer-4-384_ctl_cifar10.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.sew_resnet_18_cifar),
    neck=dict(in_channels=512))
