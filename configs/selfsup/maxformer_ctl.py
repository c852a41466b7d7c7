# The main job with a small MaxFormer in place of the Spikformer, on scenes of 32 pixels
# snnssl train configs/selfsup/maxformer_ctl.py
_base_ = 'spikingformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.MaxFormer',
        arch=dict(embed_dims=56, depths=(1, 1, 1), num_heads=4),
        time_steps=4,
        bn='per_view'),
    neck=dict(in_channels=56))
