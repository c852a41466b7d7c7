# The main job with a small Meta-SpikeFormer in place of the Spikformer, on scenes of 32 pixels
# Integers 0 to 4: with binary spikes a network as narrow learns next to nothing
# (docs/results/families.md). snnssl train configs/selfsup/meta-spikeformer_ctl.py
_base_ = 'spikingformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.MetaSpikeFormer',
        arch=dict(embed_dims=(8, 16, 32, 40), depths=(1, 1), num_heads=4),
        time_steps=4,
        neuron=dict(type='snnssl_mm.MixedILIF'),
        bn='per_view'),
    neck=dict(in_channels=40))
