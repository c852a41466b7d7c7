# The CIFAR-10 recipe, made small enough for two CPU cores: one epoch, 64 channels.
# Images: CIFAR-10 as JPEGs in data/cifar10-jpeg/{train,test}/<class>/*.jpg
_base_ = '../../configs/selfsup/spikformer-4-384_ctl_folder32.py'
model = dict(
    backbone=dict(arch=dict(embed_dims=64, depth=2, num_heads=4)),
    neck=dict(in_channels=64, hid_channels=512, out_channels=512))

data_root = 'data/cifar10-jpeg'
train_dataloader = dict(
    batch_size=128, num_workers=1, dataset=dict(data_root=data_root))
eval_train_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root))
eval_test_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root))

# 390 iterations
optim_wrapper = dict(optimizer=dict(lr=5e-3))
train_cfg = dict(max_epochs=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=390, eta_min=5e-5),
]
max_probe_samples = 10_000
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1))
