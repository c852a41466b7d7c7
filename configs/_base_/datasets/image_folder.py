# Your own images at 224 pixels: all below data_root/train; classes only for the k-NN monitor
# data_root/{train,test}/<class>/*.jpg. Without classes: eval_{train,test}_dataloader = None.
_base_ = ['imagenet_224.py']
data_root = 'data/images'
folder = dict(
    _delete_=True, type='snnssl_mm.ImageFolder', data_root=data_root, on_error='raise')

load = dict(type='snnssl_mm.LoadIntactImage')
train_dataloader = dict(
    dataset=dict(
        data_prefix='train',
        with_label=False,
        pipeline=[load, *_base_.train_dataloader.dataset.pipeline[1:]],
        **folder))

labelled_pipeline = [load, *_base_.labelled_pipeline[1:]]
probes = dict(_delete_=True)  # default lengths of snnssl probe, not ImageNet's
eval_pipeline = [load, *_base_.eval_pipeline[1:]]
eval_train_dataloader = dict(
    dataset=dict(data_prefix='train', test_mode=True, pipeline=eval_pipeline, **folder))
eval_test_dataloader = dict(
    dataset=dict(data_prefix='test', test_mode=True, pipeline=eval_pipeline, **folder))
