# The published Spikformer for recordings of 128x128 pixels, pretrained with MixedLIF and CTL
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(
        arch='2-256', stem='imagenet', in_channels=2, attention_scale=0.25),
    neck=dict(in_channels=256))
