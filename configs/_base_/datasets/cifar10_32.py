# CIFAR-10 at 32 pixels: the Barlow Twins pair without blur, labels for k-NN
# For JPEGs in class folders use image_folder_32.py: this dataset is RGB, files are BGR.
_base_ = ['view_colors.py', 'file_loading_32.py']
cifar10 = dict(type='CIFAR10', data_root='data/cifar10')
data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False)

crop = dict(
    type='snnssl_mm.OpenCVRandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0))
jitter = dict(_base_.jitter, color_format='rgb')
gray = dict(_base_.gray, color_format='rgb')
view_a = [crop, jitter, gray, _base_.flip]
view_b = [crop, jitter, gray, _base_.solarize, _base_.flip]
two_views = dict(type='MultiView', num_views=[1, 1], transforms=[view_a, view_b])

train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        split='train', pipeline=[two_views, dict(type='PackInputs')], **cifar10))

# For snnssl probe: augmentation of labelled images, and 100 epochs of 195 iterations
labelled_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    _base_.flip,
    dict(type='PackInputs'),
]
long = dict(iterations=19_500, batch_size=256)
few = dict(iterations=4_000)
probes = {
    'linear-augmented': long, 'finetune': long, 'semi-1pct': few, 'semi-10pct': few}

eval_train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='train', pipeline=[dict(type='PackInputs')], **cifar10))
eval_test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        split='test', test_mode=True, pipeline=[dict(type='PackInputs')], **cifar10))
