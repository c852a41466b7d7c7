# The CIFAR-10 recipe in ten minutes of one GPU: 30 of its 300 epochs, bf16
# Images: CIFAR-10 as JPEGs in data/cifar10-jpeg/{train,test}/<class>/*.jpg
_base_ = '../../configs/selfsup/spikformer-4-384_ctl_folder32.py'

data_root = 'data/cifar10-jpeg'
train_dataloader = dict(num_workers=10, dataset=dict(data_root=data_root))
eval_train_dataloader = dict(num_workers=4, dataset=dict(data_root=data_root))
eval_test_dataloader = dict(num_workers=4, dataset=dict(data_root=data_root))

optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=2, end=30, eta_min=1e-6,
         convert_to_iter_based=True),
]
max_probe_samples = 10_000
default_hooks = dict(
    keep_memory=None, non_finite=None, collapse=None,
    health=dict(interval=10), knn=dict(interval=5))
