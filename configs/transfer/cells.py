# Boxes of a folder in COCO format: images/*.jpg, annotations/{train,val}.json
# snnssl transfer ctl=CKPT --suite cells --data FOLDER; for other classes set
# --cfg-options model.bbox_head.num_classes=N and the loaders' metainfo.
seeds = [0, 1, 2]
tasks = dict(
    detection=dict(
        config='../detection/retinanet_spikformer_fpn_cells.py',
        metrics={'box AP50': 'coco/bbox_mAP_50', 'box AP': 'coco/bbox_mAP'},
        fractions=[0.1, 0.25, 1.0]))
