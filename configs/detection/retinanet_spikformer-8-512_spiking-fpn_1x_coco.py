# RetinaNet FPN 1x COCO that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/retinanet/retinanet_r50_fpn_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'retinanet_spikformer-8-512_fpn_1x_coco.py'
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, neck=_base_.model.neck, **_base_.spiking_neck),
    bbox_head=dict(type='snnssl_mm.SpikingRetinaHead', **_base_.spiking))
