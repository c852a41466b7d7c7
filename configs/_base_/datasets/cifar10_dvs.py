# CIFAR10-DVS: recordings of images that were moved on a screen, 128x128 pixels
# data_root/<class>/*.aedat, as published; the first 90 % of each class are for training.
_base_ = 'event_folder_128.py'
place = dict(layout='cifar10-dvs', data_root='data/cifar10-dvs')

# Mirrored things are things of the same kind.
view = [dict(type='snnssl_mm.EventFlip'), *_base_.view]
two_views = dict(type='MultiView', num_views=2, transforms=[view])
labelled_pipeline = [_base_.load, *view, _base_.pack]
train_dataloader = dict(
    dataset=dict(pipeline=[_base_.load, two_views, _base_.pack], **place))
eval_train_dataloader = dict(dataset=place)
eval_test_dataloader = dict(dataset=place)
