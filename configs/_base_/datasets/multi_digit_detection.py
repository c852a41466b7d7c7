# Embedded data: several handwritten digits a scene with boxes and masks, in COCO's format
scenes = dict(
    type='snnssl_mm.MultiDigitDetection', data_root='data/multi_digit_scenes', size=48)
load = dict(type='LoadImageFromFile')
resize = dict(type='Resize', scale=(48, 48), keep_ratio=True)
annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
pack = dict(type='PackDetInputs')

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        split='train', pipeline=[load, annotations, resize, pack], **scenes))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        split='test',
        test_mode=True,
        pipeline=[load, resize, annotations, pack],
        **scenes))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=scenes['data_root'] + '/annotations/instances_validation.json',
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
