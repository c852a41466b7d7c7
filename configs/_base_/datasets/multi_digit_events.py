# Embedded data: simulated recordings of several handwritten digits, for the configs of
# multi-digit scenes: train_dataloader = dict(dataset=_base_.event_boxes_train).
# Stock transforms see the T = 4 frames of OFF and ON events as an image of 8 channels,
# which the backbone takes apart again.
recordings = dict(data_root='data/multi_digit_events', size=64)
event_frames = [
    dict(type='snnssl_mm.LoadEvents', height=64, width=64),
    dict(type='snnssl_mm.EventDenoise'),
    dict(type='snnssl_mm.EventFrames', time_steps=4),
    dict(type='snnssl_mm.FoldFrames'),
]

event_resize = dict(type='Resize', scale=(64, 64), keep_ratio=True)
boxes = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
pack_boxes = dict(type='PackDetInputs')
event_detection = dict(type='snnssl_mm.MultiDigitEventDetection', **recordings)
event_boxes_train = dict(
    pipeline=[*event_frames, boxes, event_resize, pack_boxes], **event_detection)
event_boxes_test = dict(
    pipeline=[*event_frames, event_resize, boxes, pack_boxes], **event_detection)
event_boxes_file = dict(
    ann_file=recordings['data_root'] + '/annotations/instances_validation.json')

event_masks = dict(
    type='snnssl_mm.MultiDigitEventSegmentation',
    pipeline=[
        *event_frames,
        dict(type='LoadAnnotations', reduce_zero_label=True),
        dict(type='PackSegInputs'),
    ],
    **recordings)
