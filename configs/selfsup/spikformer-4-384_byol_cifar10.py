# Spikformer-4-384 on CIFAR-10 with BYOL in place of CTL, an analog teacher; not run yet
# Momentum and the predictor as wide as the projector are those of BYOL's 300 epochs.
_base_ = 'spikformer-4-384_ctl_cifar10.py'
model = dict(
    predictor=dict(
        type='NonLinearNeck',
        hid_channels=1024,
        with_avg_pool=False,
        with_last_bn=False,
        with_last_bias=True,
        norm_cfg=dict(type='BN1d')),
    teacher=dict(momentum=0.99, path='analog'),
    head=dict(loss=dict(_delete_=True, type='snnssl_mm.NegativeCosineLoss')))
