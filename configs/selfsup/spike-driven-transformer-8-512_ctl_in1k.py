# Spike-driven Transformer 8-512 on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 8-512 configs of detection and segmentation start from.
_base_ = 'spikformer-16-512_ctl_in1k.py'
model = dict(
    backbone=dict(_delete_=True, type='snnssl_mm.SpikeDrivenTransformer', arch='8-512', time_steps=4),
    neck=dict(in_channels=512))
