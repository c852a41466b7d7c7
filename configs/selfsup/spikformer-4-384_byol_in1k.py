# Spikformer-4-384 on ImageNet-1K with BYOL in place of CTL, an analog teacher; not run yet
_base_ = ['spikformer-4-384_ctl_in1k.py', '../_base_/objectives/byol.py']
model = dict(
    _base_.byol,
    predictor=dict(_base_.byol.predictor, hid_channels=2048))  # as wide as the projector's
