# Mask R-CNN FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
_base_ = 'mask-rcnn_spikformer-8-512_fpn_1x_coco.py'
model = dict(backbone=dict(arch='16-512'))
# 18 depths: the stem learns at 0.9 ** 17 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
