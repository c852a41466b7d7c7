# Fine-tuning on CIFAR-10, https://github.com/open-mmlab/mmpretrain/blob/main/configs/resnet/resnet18_8xb16_cifar10.py
# snnssl train CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spiking-resnet-18_ctl_cifar10.py; without, the supervised baseline.
_base_ = [
    'spikformer-4-384_finetune_cifar10.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.sew_resnet_18_cifar),
    head=dict(in_channels=512))
