# Digit events, simulated: every kind of task on recordings in minutes, without a download
# snnssl transfer ctl=work_dirs/spikformer_ctl_events/epoch_20.pth --suite events
pretraining = '../selfsup/spikformer_ctl_events.py'
seeds = [0, 1, 2]
baselines = ['random', 'pixels']
often = {
    'train_cfg.val_interval': 5,
    'default_hooks.checkpoint.interval': 5,
    'default_hooks.checkpoint.max_keep_ckpts': 1}
tasks = dict(
    knn=dict(probe='knn'),
    linear=dict(probe='linear', fractions=[0.01, 0.1, 1.0]),
    semi_1pct=dict(probe='semi-1pct'),
    semi_10pct=dict(probe='semi-10pct'),
    detection=dict(
        config='../detection/mask-rcnn_spikformer_fpn_events.py',
        metrics={
            'box AP': 'coco/bbox_mAP',
            'box AP50': 'coco/bbox_mAP_50',
            'mask AP': 'coco/segm_mAP'},
        fractions=[0.25, 1.0],
        options=often),
    segmentation=dict(
        config='../segmentation/semantic-fpn_spikformer_events.py',
        metrics={'mIoU': 'mIoU'},
        fractions=[0.25, 1.0],
        options=often))
