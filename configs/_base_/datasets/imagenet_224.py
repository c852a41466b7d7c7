# ImageNet-1K at 224 pixels: the Barlow Twins pair (asymmetric blur, solarise), k-NN labels
# For a folder of your own JPEGs take image_folder.py, or mmpretrain's CustomDataset with
# train_dataloader.dataset=dict(type='CustomDataset', data_root=..., with_label=False).
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32_byol.py']
data_preprocessor = dict(type='snnssl_mm.TwoViewDataPreprocessor')
imagenet = dict(type='ImageNet', data_root='data/imagenet')

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,  # EpochSeedHook seeds the workers of each epoch
    drop_last=True,
    pin_memory=True,
    # The inherited one carries a _scope_, which mmengine would hand to the function.
    collate_fn=dict(_delete_=True, type='default_collate'),
    dataset=dict(data_root='data/imagenet'))

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
