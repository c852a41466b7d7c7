# N-MNIST: recordings of MNIST's digits by an event camera that moved, 34x34 pixels
# data_root/{Train,Test}/<digit>/*.bin, as published; views and frames of digit_events.py
_base_ = 'digit_events.py'
data_root = 'data/n-mnist'
recordings = dict(
    _delete_=True,
    type='snnssl_mm.EventFolder',
    layout='n-mnist',
    data_root=data_root)
train_dataloader = dict(
    dataset=dict(
        split='train', pipeline=[_base_.load, _base_.two_views, _base_.pack], **recordings))
evaluated = dict(test_mode=True, pipeline=_base_.eval_pipeline, **recordings)
eval_train_dataloader = dict(dataset=dict(split='train', **evaluated))
eval_test_dataloader = dict(dataset=dict(split='test', **evaluated))
