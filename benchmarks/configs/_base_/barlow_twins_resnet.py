# Parts of mmpretrain's Barlow Twins with a small ResNet-18: a reference without spikes
resnet = dict(type='ResNet_CIFAR', depth=18)
projector = dict(
    type='NonLinearNeck',
    hid_channels=512,
    out_channels=512,
    num_layers=3,
    with_avg_pool=True,
    with_last_bn=False,
    norm_cfg=dict(type='BN1d'))
barlow_head = dict(
    type='LatentCrossCorrelationHead',
    in_channels=512,
    loss=dict(type='CrossCorrelationLoss', lambd=5e-3))
