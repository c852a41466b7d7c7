# Spikformer pretrained with MixedLIF and the Cross Temporal Loss; sizes of arch 4-384 (the default)
model = dict(
    type='snnssl_mm.DualPathSSL',
    backbone=dict(type='snnssl_mm.Spikformer', stem='cifar', time_steps=4),
    neck=dict(
        type='NonLinearNeck',
        in_channels=384,
        hid_channels=1024,
        out_channels=1024,
        num_layers=3,
        with_avg_pool=True,
        with_last_bn=False,
        norm_cfg=dict(type='BN1d')),
    head=dict(
        type='snnssl_mm.TemporalLossHead',
        loss=dict(type='snnssl_mm.CrossTemporalLoss', lambd=5e-3)))
