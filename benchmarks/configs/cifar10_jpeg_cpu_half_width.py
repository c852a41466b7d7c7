# The network of cifar10_jpeg_cpu_hour.py at half its width, for comparisons over seeds
_base_ = 'cifar10_jpeg_cpu_hour.py'
model = dict(backbone=dict(base_channels=32), neck=dict(in_channels=128))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3), knn=dict(interval=10))
