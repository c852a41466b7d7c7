# Linear probe on DVS128 Gesture, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# snnssl train CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spikformer-2-256_ctl_dvsgesture.py. SGD and cosine as on ImageNet.
_base_ = [
    'mmpretrain::_base_/schedules/cifar10_bs128.py',
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/models/spikformer-2-256_events.py',
    '../_base_/datasets/dvs_gesture.py',
    '../_base_/guards.py',
]
model = dict(
    data_preprocessor=dict(data_preprocessor=dict(num_classes=11)),
    head=dict(num_classes=11))
train_dataloader = dict(dataset=dict(pipeline=_base_.labelled_pipeline))
val_dataloader = _base_.eval_test_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator

# One GPU
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-6))
train_cfg = dict(max_epochs=100, val_interval=10)
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', T_max=100, begin=0, end=100)
default_hooks = _base_.guards
auto_scale_lr = dict(base_batch_size=64)
