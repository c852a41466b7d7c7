# Boxes of a folder in COCO format: images/*.jpg, annotations/{train,val}.json
# snnssl transfer ctl=CKPT --suite cells --data FOLDER; for other classes set
# --cfg-options model.bbox_head.num_classes=N and the loaders' metainfo.
seeds = [0, 1, 2]
detection = dict(
    config='../detection/retinanet_spikformer_fpn_cells.py',
    metrics={'box AP50': 'coco/bbox_mAP_50', 'box AP': 'coco/bbox_mAP'},
    fractions=[0.1, 0.25, 1.0])
# Learning rate 0 below neck and head: only the norms' statistics follow these images.
fixed = {'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.0}
tasks = {'detection': detection, 'fixed backbone': dict(detection, options=fixed)}
