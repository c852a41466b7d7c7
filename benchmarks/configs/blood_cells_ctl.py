# Pretraining on unlabelled photographs of blood cells, small enough for two CPU cores
# Only the training images of a folder in COCO format: images/*.jpg, annotations/train.json
# snnssl transfer ctl=work_dirs/blood_cells_ctl/epoch_180.pth --suite cells --data data/blood-cells
_base_ = [
    '../../configs/_base_/models/spikformer_ctl.py',
    '../../configs/_base_/datasets/image_folder_32.py',
    '../../configs/_base_/schedules/adamw.py',
    '../../configs/_base_/schedules/analog_first.py',
    '../../configs/_base_/default_runtime.py',
]
model = dict(
    projector_bn='per_view',
    backbone=dict(
        arch=dict(embed_dims=128, depth=2, num_heads=4), stem='imagenet', bn='per_view'),
    neck=dict(in_channels=128, hid_channels=512, out_channels=512))

# As the detector normalises its images
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

# Crops of 96 pixels, about a cell or two. Colour tells the cells apart: it changes little.
view = [
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.05, 0.4)),
    dict(type='RandomFlip', prob=[0.4, 0.4], direction=['horizontal', 'vertical']),
    dict(type='ColorJitter', brightness=0.3, contrast=0.3, saturation=0.2, hue=0.02),
]
two_views = dict(type='MultiView', num_views=2, transforms=[view])
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='mmdet.CocoDataset',  # the annotations are not used
        data_root='data/blood-cells',
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('RBC', 'WBC', 'Platelets')),
        pipeline=[_base_.load, two_views, dict(type='PackInputs')]))
eval_train_dataloader = eval_test_dataloader = None

# 180 epochs of 6 iterations
optim_wrapper = dict(optimizer=dict(lr=5e-3))
train_cfg = dict(by_epoch=True, max_epochs=180)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=5, end=180, eta_min=5e-5,
         convert_to_iter_based=True),
]
default_hooks = dict(
    path_schedule=_base_.analog_first,
    logger=dict(interval=6), checkpoint=dict(interval=30),
    health=None, knn=None, linear_probe=None)
