# Digit scenes: ordinary necks and heads against spiking ones, on one checkpoint
# snnssl transfer ctl=work_dirs/spikformer_ctl/epoch_28.pth --suite digits_spiking
seeds = [0, 1, 2]
baselines = []
boxes = {'box AP': 'coco/bbox_mAP', 'box AP50': 'coco/bbox_mAP_50'}
boxes_and_masks = {**boxes, 'mask AP': 'coco/segm_mAP'}
pixels = {'mIoU': 'mIoU'}
retinanet = '../detection/retinanet_spikformer_'
mask_rcnn = '../detection/mask-rcnn_spikformer_'
semantic_fpn = '../segmentation/semantic-fpn_spikformer_'
tasks = {
    'RetinaNet': dict(config=retinanet + 'fpn_digits.py', metrics=boxes),
    'RetinaNet, spiking': dict(
        config=retinanet + 'spiking-fpn_digits.py', metrics=boxes),
    'Mask R-CNN': dict(config=mask_rcnn + 'fpn_digits.py', metrics=boxes_and_masks),
    'Mask R-CNN, spiking': dict(
        config=mask_rcnn + 'spiking-fpn_digits.py', metrics=boxes_and_masks),
    'semantic FPN': dict(config=semantic_fpn + 'digits.py', metrics=pixels),
    'semantic FPN, spiking': dict(
        config=semantic_fpn + 'spiking-fpn_digits.py', metrics=pixels),
}
