# SDT-V1 on the scenes of 32 pixels, to compare with the families whose stride is 16
_base_ = '../../configs/selfsup/spikingformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.SpikeDrivenTransformer',
        arch=dict(embed_dims=64, depth=1),
        stem='imagenet',
        time_steps=4,
        bn='per_view'))
