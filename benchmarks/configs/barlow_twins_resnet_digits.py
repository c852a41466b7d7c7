# mmpretrain's Barlow Twins with a small ResNet-18, a reference without spikes for the main job
# Equal compute: the forward pass of an image takes 16.51 M multiply-accumulates in this
# backbone (22 channels) and 16.31 M in the main job's (64 channels, T = 4); the projector
# adds 0.61 M here and 2.23 M there. Data, views, projector, optimizer and schedule are equal.
_base_ = ['../../configs/selfsup/spikformer_ctl.py', '_base_/barlow_twins_resnet.py']
model = dict(
    _delete_=True,
    type='BarlowTwins',
    backbone=dict(stem_channels=22, base_channels=22, **_base_.resnet),
    neck=dict(in_channels=8 * 22, **_base_.projector),
    head=_base_.barlow_head)
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')

# They need a DualPathSSL; firing_rate switches itself off
default_hooks = dict(collapse=None, health=None, path_schedule=None)
