# Fine-tuning on N-MNIST, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_nmnist/epoch_80.pth; without, the
# supervised baseline. Its length is for 1,000 recordings.
_base_ = 'spikformer_finetune_events.py'
recordings = dict(
    _delete_=True,
    type='snnssl_mm.EventFolder',
    layout='n-mnist',
    data_root='data/n-mnist')
train_dataloader = dict(
    dataset=dict(split='train', pipeline=_base_.labelled_pipeline, **recordings))
val_dataloader = dict(
    dataset=dict(
        split='test', test_mode=True, pipeline=_base_.eval_pipeline, **recordings))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=80, val_interval=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=4, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=4, end=80, eta_min=1e-6,
         convert_to_iter_based=True),
]
