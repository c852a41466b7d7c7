# Spikformer-4-384 on CIFAR-10 with BYOL in place of CTL, an analog teacher; not run yet
_base_ = ['spikformer-4-384_ctl_cifar10.py', '../_base_/objectives/byol.py']
model = dict(
    _base_.byol,
    predictor=dict(_base_.byol.predictor, hid_channels=1024))  # as wide as the projector's
