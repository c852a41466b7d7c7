# CIFAR-10 at 32 pixels: the Barlow Twins pair without blur (grey is the plain mean of
# the channels), labels for k-NN.
# For JPEGs in class folders take image_folder_32.py: this dataset is RGB, files are BGR.
cifar10 = dict(type='CIFAR10', data_root='data/cifar10')
data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False)

view_a = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.2,
                hue=0.1)
        ]),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
]
view_b = [*view_a, dict(type='Solarize', thr=128, prob=0.2)]
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
