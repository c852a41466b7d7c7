# mmpretrain's SimCLR takes a spiking backbone as it is: time-averaged features, no analog path
_base_ = ['spikformer_ctl.py', '../_base_/models/spikformer_mmpretrain.py']
model = dict(
    _delete_=True,
    type='SimCLR',
    backbone=_base_.spikformer,
    neck=_base_.projector,
    head=dict(
        type='ContrastiveHead',
        loss=dict(type='CrossEntropyLoss'),
        temperature=0.2))
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')
default_hooks = _base_.without_paths
