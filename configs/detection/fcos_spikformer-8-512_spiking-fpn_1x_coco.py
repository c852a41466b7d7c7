# FCOS FPN 1x COCO that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'fcos_spikformer-8-512_fpn_1x_coco.py'
# The head keeps its stock group norms.
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, neck=_base_.model.neck, **_base_.spiking_neck),
    bbox_head=dict(type='snnssl_mm.SpikingFCOSHead', **_base_.spiking))
