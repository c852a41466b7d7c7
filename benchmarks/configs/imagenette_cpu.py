# imagenette at 96 pixels on a CPU core; run with --amp where it computes bf16
# Images: data/imagenette/{train,val}/<class>/*.jpg, shorter side 96 pixels
_base_ = 'cifar10_jpeg_cpu_hour.py'
model = dict(
    backbone=dict(base_channels=32, num_stages=4), neck=dict(in_channels=256))

data_root = 'data/imagenette'
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
crop = dict(_base_.crop, scale=96)
view_a = [crop, *_base_.view_a[1:]]
view_b = [crop, *_base_.view_b[1:]]
two_views = dict(type='MultiView', num_views=[1, 1], transforms=[view_a, view_b])
pack = dict(type='PackInputs')
load = dict(type='snnssl_mm.LoadIntactImage')
file_loading = [
    load,
    dict(type='ResizeEdge', scale=96, edge='short', interpolation='area'),
    dict(type='CenterCrop', crop_size=96),
]
evaluated = dict(data_root=data_root, pipeline=[*file_loading, pack])
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=[load, two_views, pack]))
eval_train_dataloader = dict(dataset=evaluated)
eval_test_dataloader = dict(dataset=dict(data_prefix='val', **evaluated))

# 15 epochs of 73 iterations
train_cfg = dict(max_epochs=15)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=15, eta_min=1e-5,
         convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=10), knn=dict(interval=5))
