# mmpretrain's Barlow Twins takes a spiking backbone as it is: time-averaged features, no analog path
_base_ = ['spikformer_ctl.py', '../_base_/models/spikformer_mmpretrain.py']
model = dict(
    _delete_=True,
    type='BarlowTwins',
    backbone=_base_.spikformer,
    neck=_base_.projector,
    head=dict(
        type='LatentCrossCorrelationHead',
        in_channels=512,
        loss=dict(type='CrossCorrelationLoss')))
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')
default_hooks = _base_.without_paths
