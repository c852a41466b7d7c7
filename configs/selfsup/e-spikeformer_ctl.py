# The main job with a small E-SpikeFormer in place of the Spikformer, on scenes of 32 pixels
# One time step of integers 0 to 4: the Cross Temporal Loss is then that of Barlow Twins.
# snnssl train configs/selfsup/e-spikeformer_ctl.py
_base_ = 'spikingformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.ESpikeFormer',
        arch=dict(embed_dims=(8, 16, 24, 40), depths=(1, 1), num_heads=4),
        time_steps=1,
        bn='per_view'),
    neck=dict(in_channels=40))
default_hooks = dict(path_schedule=dict(stages=[
    dict(train_path='analog', train_time_steps=1),
    dict(begin=0.8, train_path='dual', train_time_steps=1),
]))
