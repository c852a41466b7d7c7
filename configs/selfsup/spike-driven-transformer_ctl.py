# The main job with a small Spike-driven Transformer (SDT-V1) in place of the Spikformer
# snnssl train configs/selfsup/spike-driven-transformer_ctl.py
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.SpikeDrivenTransformer',
        arch=dict(embed_dims=64, depth=1),
        stem='cifar',
        time_steps=4,
        bn='per_view'))
