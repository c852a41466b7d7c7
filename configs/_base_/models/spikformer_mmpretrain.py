# The main job's network, all spiking, for mmpretrain's own algorithms: T averaged, two layers
spikformer = dict(
    type='snnssl_mm.Spikformer',
    arch=dict(embed_dims=64, depth=1, num_heads=4),
    stem='cifar',
    time_steps=4)
projector = dict(
    type='NonLinearNeck',
    in_channels=64,
    hid_channels=512,
    out_channels=512,
    num_layers=3,
    with_last_bn=False,
    norm_cfg=dict(type='BN1d'))
predictor = dict(
    type='NonLinearNeck',
    in_channels=512,
    hid_channels=128,
    out_channels=512,
    with_avg_pool=False,
    with_last_bn=False,
    norm_cfg=dict(type='BN1d'))
# They need a DualPathSSL.
without_paths = dict(collapse=None, health=None, path_schedule=None, teacher=None)
