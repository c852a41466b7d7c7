# Spikformer-4-384 on ImageNet-1K by masked autoencoding, 100 epochs; not run yet
# MAE's AdamW: lr 1.5e-4 per 256 images, here for a batch of 2,048 (32 GPUs x 64).
_base_ = [
    '../_base_/models/spikformer_mae.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(stem='imagenet'))
one_view = dict(
    type='MultiView', num_views=1, transforms=[[_base_.crop, _base_.flip]])
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'), one_view, dict(type='PackInputs')]))

train_cfg = dict(by_epoch=True, max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=1.2e-3, betas=(0.9, 0.95)))
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=100, eta_min=1e-6,
         convert_to_iter_based=True),
]
sync_bn = 'torch'
default_hooks = dict(
    path_schedule=_base_.analog_first_masked,
    collapse=dict(levels=(0.1, 0.025)),  # of features, lower than of embeddings
    health=None,  # it compares two views
    logger=dict(interval=100), knn=dict(interval=10))
max_probe_samples = 10_000
