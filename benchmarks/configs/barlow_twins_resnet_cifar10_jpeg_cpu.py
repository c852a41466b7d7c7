# mmpretrain's Barlow Twins with a small ResNet-18, a reference without spikes for CIFAR-10
# Equal compute: the forward pass of an image takes 78.52 M multiply-accumulates in this
# backbone (24 channels) and 78.34 M in that of cifar10_jpeg_cpu.py (64 channels, T = 4);
# the projector adds 0.62 M here and 2.23 M there. All else is equal.
_base_ = 'cifar10_jpeg_cpu.py'
model = dict(
    _delete_=True,
    type='BarlowTwins',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=24, base_channels=24),
    neck=dict(
        type='NonLinearNeck',
        in_channels=8 * 24,
        hid_channels=512,
        out_channels=512,
        num_layers=3,
        with_avg_pool=True,
        with_last_bn=False,
        norm_cfg=dict(type='BN1d')),
    head=dict(
        type='LatentCrossCorrelationHead',
        in_channels=512,
        loss=dict(type='CrossCorrelationLoss', lambd=5e-3)))
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')

# They need a DualPathSSL; firing_rate switches itself off
default_hooks = dict(collapse=None, health=None)
