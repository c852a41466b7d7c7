# Fine-tuning on CIFAR-10, https://github.com/open-mmlab/mmpretrain/blob/main/configs/resnet/resnet18_8xb16_cifar10.py
# python tools/train.py CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spiking-resnet-18_ctl_cifar10.py; without, the supervised baseline.
_base_ = 'spikformer-4-384_finetune_cifar10.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.SpikingResNet',
        depth=18,
        shortcut='sew',
        stem='cifar'),
    head=dict(in_channels=512))
