# Embedded data: one handwritten digit a scene, two views for pretraining, labels for k-NN
scenes = dict(type='snnssl_mm.DigitScenes', data_root='data/digit_scenes', size=16)
data_preprocessor = dict(
    mean=[38.0, 38.0, 38.0],
    std=[62.0, 62.0, 62.0])

view = [dict(type='snnssl_mm.RandomAffineScene')]
train_dataloader = dict(
    batch_size=128,
    num_workers=0,  # views of scenes are cheap, starting a process is not
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        split='train',
        pipeline=[
            dict(type='MultiView', num_views=2, transforms=[view]),
            dict(type='PackInputs'),
        ],
        **scenes))

# For snnssl probe: augmentation of labelled images, and loading of image files
labelled_pipeline = [*view, dict(type='PackInputs')]
file_loading = [
    dict(type='snnssl_mm.LoadIntactImage'),
    dict(type='ResizeEdge', scale=16, edge='short', interpolation='area'),
    dict(type='CenterCrop', crop_size=16),
]

eval_train_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        split='train', test_mode=True, pipeline=[dict(type='PackInputs')], **scenes))
eval_test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='test', pipeline=[dict(type='PackInputs')], **scenes))
