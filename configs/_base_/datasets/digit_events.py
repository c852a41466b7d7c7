# Embedded data: simulated recordings of handwritten digits, two views of each for
# pretraining, labels for k-NN; frames [T, 2, H, W] of OFF and ON events
recordings = dict(type='snnssl_mm.DigitEvents', data_root='data/digit_events', size=32)
load = dict(type='snnssl_mm.LoadEvents')
denoise = dict(type='snnssl_mm.EventDenoise')
# Four pixels of the sensor are one of a frame, as large as the digit scenes'.
frames = dict(type='snnssl_mm.EventFrames', time_steps=4, size=(16, 16))
pack = dict(type='PackInputs')

# On the events, before integration. No flips: digits are not symmetric.
view = [
    denoise,
    dict(type='snnssl_mm.EventRotation', rotation=0.25),
    dict(type='snnssl_mm.EventResizedCrop', scale=(0.45, 1.0)),
    dict(type='snnssl_mm.EventShift', shift=0.2),
    frames,
]
two_views = dict(type='MultiView', num_views=2, transforms=[view])
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='train', pipeline=[load, two_views, pack], **recordings))

# For snnssl probe: augmentation of labelled recordings
labelled_pipeline = [load, *view, pack]

eval_pipeline = [load, denoise, frames, pack]
eval_train_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='train', test_mode=True, pipeline=eval_pipeline, **recordings))
eval_test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(split='test', test_mode=True, pipeline=eval_pipeline, **recordings))
