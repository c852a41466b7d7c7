# mmpretrain's Barlow Twins with a small ResNet-18, a reference without spikes for CIFAR-10
# Equal compute: the forward pass of an image takes 78.52 M multiply-accumulates in this
# backbone (24 channels) and 78.34 M in that of cifar10_jpeg_cpu.py (64 channels, T = 4);
# the projector adds 0.62 M here and 2.23 M there. All else is equal.
_base_ = ['cifar10_jpeg_cpu.py', '_base_/barlow_twins_resnet.py']
model = dict(
    _delete_=True,
    type='BarlowTwins',
    backbone=dict(stem_channels=24, base_channels=24, **_base_.resnet),
    neck=dict(in_channels=8 * 24, **_base_.projector),
    head=_base_.barlow_head)
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')

# They need a DualPathSSL; firing_rate switches itself off
default_hooks = dict(collapse=None, health=None)
