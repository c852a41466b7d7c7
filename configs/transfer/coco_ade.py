# The field's tasks for Spikformer-8-512: ImageNet probes, COCO, ADE20K
# snnssl transfer ctl=epoch_300.pth --suite coco_ade --slurm partition=gpu gpus_per_node=1
pretraining = '../selfsup/spikformer-8-512_ctl_in1k.py'
seeds = [0, 1, 2]
segmented = {'mIoU': 'mIoU'}

# A run is one process: the global batch on one GPU. Random weights have no statistics
# to keep, so both learn theirs.
one_gpu = {'train_dataloader.batch_size': 16, 'model.backbone.norm_eval': False}
tasks = dict(
    knn=dict(probe='knn'),
    linear=dict(probe='linear'),
    linear_augmented=dict(probe='linear-augmented'),
    coco=dict(
        config='../detection/mask-rcnn_spikformer-8-512_fpn_1x_coco.py',
        metrics={
            'box AP': 'coco/bbox_mAP',
            'box AP50': 'coco/bbox_mAP_50',
            'mask AP': 'coco/segm_mAP'},
        fractions=[0.1, 1.0],
        options=one_gpu),
    ade_fpn=dict(
        config='../segmentation/semantic-fpn_spikformer-8-512_80k_ade20k-512x512.py',
        metrics=segmented,
        fractions=[0.1, 1.0],
        options=one_gpu),
    ade_upernet=dict(
        config='../segmentation/upernet_spikformer-8-512_160k_ade20k-512x512.py',
        metrics=segmented,
        options=one_gpu))
