# Your own images at 32 pixels, such as CIFAR-10 as JPEGs, with the views of cifar10_32.py
# data_root/{train,test}/<class>/*.jpg. Without classes: eval_{train,test}_dataloader = None.
_base_ = ['cifar10_32.py']
data_root = 'data/images'
data_preprocessor = dict(to_rgb=True)
folder = dict(
    _delete_=True, type='snnssl_mm.ImageFolder', data_root=data_root, on_error='raise')

load = dict(type='snnssl_mm.LoadIntactImage')
jitter = dict(_base_.jitter, color_format='bgr')
gray = dict(_base_.gray, color_format='bgr')
view_a = [_base_.crop, jitter, gray, _base_.flip]
view_b = [_base_.crop, jitter, gray, _base_.solarize, _base_.flip]
two_views = dict(type='MultiView', num_views=[1, 1], transforms=[view_a, view_b])

train_dataloader = dict(
    dataset=dict(
        data_prefix='train',
        with_label=False,
        pipeline=[load, two_views, dict(type='PackInputs')],
        **folder))

probes = dict(_delete_=True)  # default lengths of snnssl probe, not CIFAR-10's
labelled_pipeline = [*_base_.file_loading, *_base_.labelled_pipeline]
eval_pipeline = [*_base_.file_loading, dict(type='PackInputs')]
eval_train_dataloader = dict(
    dataset=dict(data_prefix='train', test_mode=True, pipeline=eval_pipeline, **folder))
eval_test_dataloader = dict(
    dataset=dict(data_prefix='test', test_mode=True, pipeline=eval_pipeline, **folder))
