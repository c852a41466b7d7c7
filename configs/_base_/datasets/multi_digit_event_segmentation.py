# Embedded data: simulated recordings of several handwritten digits, with label images in
# ADE20K's format. Stock transforms see the T = 4 frames of OFF and ON events as an image
# of 8 channels, which the backbone takes apart again.
recordings = dict(
    type='snnssl_mm.MultiDigitEventSegmentation',
    data_root='data/multi_digit_events',
    size=64)
pipeline = [
    dict(type='snnssl_mm.LoadEvents', height=64, width=64),
    dict(type='snnssl_mm.EventFrames', time_steps=4),
    dict(type='snnssl_mm.FoldFrames'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=pipeline, **recordings))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', pipeline=pipeline, **recordings))
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
