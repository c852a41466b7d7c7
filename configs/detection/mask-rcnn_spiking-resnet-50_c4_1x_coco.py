# Mask R-CNN C4 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# Three spiking stages of the checkpoint; the fourth, applied to each region, is mmdet's
# own and starts from random weights, so that its batch norms learn here.
_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py',
    '../_base_/models/spiking-resnet_pyramid.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# The checkpoints saw RGB images with mmpretrain's means and deviations.
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        norm_eval=True,
        num_stages=3,
        **{**_base_.spiking_resnet_50, 'out_indices': (2, )}),
    roi_head=dict(
        shared_head=dict(
            style='pytorch', norm_cfg=dict(requires_grad=True), norm_eval=False)))

# AdamW as in mask-rcnn_spiking-resnet-50_fpn_1x_coco.py. 8 GPUs x 2 images.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    **_base_.layer_decay)
default_hooks = _base_.guards
