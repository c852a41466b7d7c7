# Mask R-CNN 1x COCO with ViTDet's pyramid, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
# All levels come from the blocks' output (stride 16); the fifth is pooled.
_base_ = 'mask-rcnn_spikformer-8-512_fpn_1x_coco.py'
model = dict(
    backbone=dict(out_indices=(2, )),
    neck=dict(
        _delete_=True,
        type='snnssl_mm.SimpleFeaturePyramid',
        in_channels=512,
        out_channels=256,
        num_outs=5))
