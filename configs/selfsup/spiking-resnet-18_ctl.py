# The main job with a SEW-ResNet-18 of 16 channels (as long as with the Spikformer)
# python tools/train.py configs/selfsup/spiking-resnet-18_ctl.py
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.SpikingResNet',
        depth=18,
        shortcut='sew',
        stem='cifar',
        base_channels=16,
        time_steps=4),
    neck=dict(in_channels=128))
