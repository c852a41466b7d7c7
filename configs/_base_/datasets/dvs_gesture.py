# DVS128 Gesture: recordings of 11 gestures of 29 people, 128x128 pixels
# data_root/*.aedat with trials_to_{train,test}.txt and *_labels.csv, as published. No
# flips: a wave of the left hand is another class than one of the right.
_base_ = 'event_folder_128.py'
# A sample is a part of a recording of minutes: decoded once, then mapped into memory.
load = dict(_base_.load, cache_dir='data/dvs-gesture/cache')
place = dict(layout='dvs128-gesture', data_root='data/dvs-gesture')
train_dataloader = dict(
    dataset=dict(pipeline=[load, _base_.two_views, _base_.pack], **place))
labelled_pipeline = [load, *_base_.view, _base_.pack]
eval_pipeline = [load, _base_.frames, _base_.pack]
eval_train_dataloader = dict(dataset=dict(pipeline=eval_pipeline, **place))
eval_test_dataloader = dict(dataset=dict(pipeline=eval_pipeline, **place))
