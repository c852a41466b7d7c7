# Digit scenes: detectors and a segmentor with ordinary and with spiking necks and heads
# snnssl transfer pretrained=work_dirs/demo/seed0/epoch_28.pth --suite THIS
seeds = [0, 1, 2]
baselines = []
boxes = {'box AP': 'coco/bbox_mAP', 'box AP50': 'coco/bbox_mAP_50'}
masks = {**boxes, 'mask AP': 'coco/segm_mAP'}
pixels = {'mIoU': 'mIoU'}
detection, segmentation = '../../configs/detection/', '../../configs/segmentation/'
tasks = {
    'RetinaNet': dict(
        config=detection + 'retinanet_spikformer_fpn_digits.py', metrics=boxes),
    'RetinaNet, spiking': dict(
        config=detection + 'retinanet_spikformer_spiking-fpn_digits.py', metrics=boxes),
    'Mask R-CNN': dict(
        config=detection + 'mask-rcnn_spikformer_fpn_digits.py', metrics=masks),
    'Mask R-CNN, spiking': dict(
        config=detection + 'mask-rcnn_spikformer_spiking-fpn_digits.py', metrics=masks),
    'Semantic FPN': dict(
        config=segmentation + 'semantic-fpn_spikformer_digits.py', metrics=pixels),
    'Semantic FPN, spiking': dict(
        config=segmentation + 'semantic-fpn_spikformer_spiking-fpn_digits.py',
        metrics=pixels),
}
