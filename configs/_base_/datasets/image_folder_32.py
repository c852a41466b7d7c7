# Your own images at 32 pixels, such as CIFAR-10 as JPEGs, with the views of cifar10_32.py
# data_root/{train,test}/<class>/*.jpg. Without classes: eval_{train,test}_dataloader = None.
_base_ = ['cifar10_32.py']
data_root = 'data/images'
data_preprocessor = dict(to_rgb=True)
folder = dict(
    _delete_=True, type='snnssl_mm.ImageFolder', data_root=data_root, on_error='raise')

# Pillow reports truncated files, OpenCV fills them with grey.
load = dict(type='LoadImageFromFile', imdecode_backend='pillow')
train_dataloader = dict(
    dataset=dict(
        data_prefix='train',
        with_label=False,
        pipeline=[load, _base_.two_views, dict(type='PackInputs')],
        **folder))

eval_pipeline = [
    load,
    dict(type='ResizeEdge', scale=32, edge='short'),
    dict(type='CenterCrop', crop_size=32),
    dict(type='PackInputs'),
]
eval_train_dataloader = dict(
    dataset=dict(data_prefix='train', test_mode=True, pipeline=eval_pipeline, **folder))
eval_test_dataloader = dict(
    dataset=dict(data_prefix='test', test_mode=True, pipeline=eval_pipeline, **folder))
