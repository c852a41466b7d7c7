# Embedded data: simulated recordings of several handwritten digits, with boxes and masks
# in COCO's format. Stock transforms see the T = 4 frames of OFF and ON events as an image
# of 8 channels, which the backbone takes apart again.
recordings = dict(
    type='snnssl_mm.MultiDigitEventDetection',
    data_root='data/multi_digit_events',
    size=64)
load = [
    dict(type='snnssl_mm.LoadEvents', height=64, width=64),
    dict(type='snnssl_mm.EventFrames', time_steps=4),
    dict(type='snnssl_mm.FoldFrames'),
]
resize = dict(type='Resize', scale=(64, 64), keep_ratio=True)
annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
pack = dict(type='PackDetInputs')

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        split='train', pipeline=[*load, annotations, resize, pack], **recordings))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        split='test',
        test_mode=True,
        pipeline=[*load, resize, annotations, pack],
        **recordings))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=recordings['data_root'] + '/annotations/instances_validation.json',
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
