# ImageNet-1K at 224 pixels: the Barlow Twins pair (asymmetric blur, solarise), k-NN labels
# For a folder of your own JPEGs use image_folder.py, or mmpretrain's CustomDataset with
# train_dataloader.dataset=dict(type='CustomDataset', data_root=..., with_label=False).
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32_byol.py', 'view_colors.py']
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')
imagenet = dict(type='ImageNet', data_root='data/imagenet')

# The inherited views, computed by OpenCV
crop = dict(
    type='snnssl_mm.OpenCVRandomResizedCrop', scale=224, interpolation='bicubic')
blur = dict(
    type='snnssl_mm.OpenCVGaussianBlur', prob=1.0,
    magnitude_range=(0.1, 2.0), magnitude_std='inf')
colors = [_base_.jitter, _base_.gray]
view_pipeline1 = [crop, *colors, blur, _base_.flip]
view_pipeline2 = [crop, *colors, dict(blur, prob=0.1), _base_.solarize, _base_.flip]
views = [view_pipeline1, view_pipeline2]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=views),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,  # EpochSeedHook seeds the workers of each epoch
    drop_last=True,
    pin_memory=True,
    # The inherited one has a _scope_, which mmengine would pass to the function.
    collate_fn=dict(_delete_=True, type='default_collate'),
    dataset=dict(data_root='data/imagenet', pipeline=train_pipeline))

# For snnssl probe on one GPU: augmentation of labelled images, 100 epochs per probe
labelled_pipeline = [
    dict(type='LoadImageFromFile'), crop, _base_.flip, dict(type='PackInputs')]
long = dict(iterations=500_400, batch_size=256)
few, more = dict(long, iterations=5_000), dict(long, iterations=50_000)
probes = {
    'linear-augmented': long, 'finetune': long, 'semi-1pct': few, 'semi-10pct': more}
eval_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
eval_train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='train', test_mode=True, pipeline=eval_pipeline, **imagenet))
eval_test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='val', test_mode=True, pipeline=eval_pipeline, **imagenet))
