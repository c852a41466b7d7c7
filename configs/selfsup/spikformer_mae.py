# Masked autoencoding of the main job's images: half of the patches from the other half
# One view of each image, on the analog path first and spiking in the last fifth.
_base_ = 'spikformer_ctl.py'
model = dict(
    _delete_=True,
    type='snnssl_mm.MaskedSSL',
    mask_ratio=0.5,
    backbone=dict(
        type='snnssl_mm.Spikformer',
        arch=dict(embed_dims=64, depth=1, num_heads=4),
        stem='cifar',
        time_steps=4),
    neck=dict(
        type='snnssl_mm.MaskedPatchDecoder',
        in_channels=64,
        embed_dims=128,
        depth=2,
        num_heads=4),
    head=dict(
        type='snnssl_mm.MaskedPatchHead',
        norm_pix=True,
        loss=dict(type='PixelReconstructionLoss', criterion='L2')))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='MultiView', num_views=1, transforms=[_base_.view]),
            dict(type='PackInputs'),
        ]))
# In three epochs better than the main job's 1e-2; not tuned beyond that
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(
    path_schedule=dict(
        stages=[
            dict(train_path='analog', train_time_steps=2),
            dict(begin=0.8, train_path='spike', train_time_steps=4),
        ]),
    collapse=dict(levels=(0.1, 0.025)),  # of features; 0.28 with random weights
    health=None)  # it compares two views
