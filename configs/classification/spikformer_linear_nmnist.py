# Linear probe on N-MNIST, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# The backbone of selfsup/spikformer_ctl_nmnist.py; its length is for 1,000 recordings.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_nmnist/epoch_80.pth
_base_ = 'spikformer_linear_events.py'
recordings = dict(
    _delete_=True,
    type='snnssl_mm.EventFolder',
    layout='n-mnist',
    data_root='data/n-mnist')
train_dataloader = dict(
    batch_size=64,
    dataset=dict(split='train', pipeline=_base_.eval_pipeline, **recordings))
val_dataloader = dict(
    dataset=dict(
        split='test', test_mode=True, pipeline=_base_.eval_pipeline, **recordings))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=80, val_interval=20)
param_scheduler = dict(T_max=80, end=80)
auto_scale_lr = dict(base_batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=0.03, weight_decay=1e-3))
