# Mask R-CNN FPN 1x COCO that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'mask-rcnn_spikformer-8-512_fpn_1x_coco.py'
roi_extractor = dict(
    type='snnssl_mm.SpikingSingleRoIExtractor',
    neuron=_base_.spiking.neuron,
    norm=_base_.spiking.norm)
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, neck=_base_.model.neck, **_base_.spiking_neck),
    rpn_head=dict(type='snnssl_mm.SpikingRPNHead', **_base_.spiking),
    roi_head=dict(
        type='snnssl_mm.SpikingStandardRoIHead',
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(type='snnssl_mm.SpikingShared2FCBBoxHead', **_base_.spiking),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(type='snnssl_mm.SpikingFCNMaskHead', **_base_.spiking)))
