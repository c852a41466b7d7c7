# E-SpikeFormer 19M on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 19M configs of detection and segmentation start from.
# One step of integers 0 to 4, as published; at T = 1 the loss is that of Barlow Twins.
_base_ = 'spikformer-16-512_ctl_in1k.py'
model = dict(
    backbone=dict(_delete_=True, type='snnssl_mm.ESpikeFormer', arch='19M', time_steps=1),
    neck=dict(in_channels=360))
default_hooks = dict(path_schedule=dict(stages=[
    dict(train_path='analog', train_time_steps=1),
    dict(begin=0.8, train_path='dual', train_time_steps=1),
]))
