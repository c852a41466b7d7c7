# Mask R-CNN FPN on multi-digit scenes that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/_base_/models/mask-rcnn_r50_fpn.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl/epoch_28.pth
_base_ = 'mask-rcnn_spikformer_fpn_digits.py'
roi_extractor = dict(type='snnssl_mm.SpikingSingleRoIExtractor', **_base_.spiking)
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, **_base_.spiking_pyramid),
    rpn_head=dict(type='snnssl_mm.SpikingRPNHead', **_base_.spiking),
    roi_head=dict(
        type='snnssl_mm.SpikingStandardRoIHead',
        bbox_roi_extractor=roi_extractor,
        # One layer instead of two, and a higher rate: more layers of spikes learn slower.
        bbox_head=dict(
            type='snnssl_mm.SpikingConvFCBBoxHead', num_shared_fcs=1, **_base_.spiking),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(type='snnssl_mm.SpikingFCNMaskHead', **_base_.spiking)))
optim_wrapper = dict(optimizer=dict(lr=5e-3))
