# The main job with a SEW-ResNet-34 of 16 channels
# snnssl train configs/selfsup/spiking-resnet-34_ctl.py
_base_ = 'spiking-resnet-18_ctl.py'
model = dict(backbone=dict(depth=34))
