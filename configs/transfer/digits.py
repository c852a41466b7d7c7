# Embedded digit scenes: every kind of task in minutes, without a download
# snnssl transfer ctl=work_dirs/spikformer_ctl/epoch_28.pth
# Adding a task is one line: NAME=dict(config='my_config.py', metrics={...}).
pretraining = '../selfsup/spikformer_ctl.py'
seeds = [0, 1, 2]
baselines = ['random', 'pixels']

# Most of the time is spent on detection, so few fractions of the labels by default
sweep = [0.25, 1.0]
often = {
    'train_cfg.val_interval': 5,
    'default_hooks.checkpoint.interval': 5,
    'default_hooks.checkpoint.max_keep_ckpts': 1}
tasks = dict(
    knn=dict(probe='knn'),
    linear=dict(probe='linear', fractions=[0.1, 0.25, 0.5, 1.0]),
    semi_1pct=dict(probe='semi-1pct'),
    semi_10pct=dict(probe='semi-10pct'),
    finetune=dict(probe='finetune'),
    detection=dict(
        config='../detection/mask-rcnn_spikformer_fpn_digits.py',
        metrics={
            'box AP': 'coco/bbox_mAP',
            'box AP50': 'coco/bbox_mAP_50',
            'mask AP': 'coco/segm_mAP'},
        fractions=sweep,
        options=often),
    segmentation=dict(
        config='../segmentation/semantic-fpn_spikformer_digits.py',
        metrics={'mIoU': 'mIoU'},
        fractions=sweep,
        options=often))
