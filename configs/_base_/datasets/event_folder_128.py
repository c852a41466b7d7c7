# Recordings of 128x128 pixels in an EventFolder: 16 frames of equal numbers of events, as
# published results on CIFAR10-DVS and DVS128 Gesture have them
recordings = dict(type='snnssl_mm.EventFolder')
load = dict(type='snnssl_mm.LoadEvents')
frames = dict(
    type='snnssl_mm.EventFrames', time_steps=16, size=(128, 128), by='count')
pack = dict(type='PackInputs')

# On the events, before integration
changes = [
    dict(type='snnssl_mm.EventTimeWindow', share=(0.5, 1.0)),
    dict(type='snnssl_mm.EventRotation', rotation=0.25, prob=0.5),
    dict(type='snnssl_mm.EventResizedCrop', scale=(0.3, 1.0)),
    dict(type='snnssl_mm.EventShift', shift=0.1),
    dict(type='snnssl_mm.EventDrop', share=(0.0, 0.5)),
    dict(type='snnssl_mm.EventDrop', by='area', share=(0.05, 0.3), prob=0.5),
]
view = [*changes, frames]
two_views = dict(type='MultiView', num_views=2, transforms=[view])
labelled_pipeline = [load, *view, pack]
eval_pipeline = [load, frames, pack]

loader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,  # EpochSeedHook seeds the workers of each epoch
    collate_fn=dict(type='default_collate'))
in_order = dict(type='DefaultSampler', shuffle=False)
train_dataloader = dict(
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=[load, two_views, pack], **recordings),
    **loader)
eval_train_dataloader = dict(
    sampler=in_order,
    dataset=dict(split='train', test_mode=True, pipeline=eval_pipeline, **recordings),
    **loader)
eval_test_dataloader = dict(
    sampler=in_order,
    dataset=dict(split='test', test_mode=True, pipeline=eval_pipeline, **recordings),
    **loader)
