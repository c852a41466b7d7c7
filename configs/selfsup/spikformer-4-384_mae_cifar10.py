# Spikformer-4-384 on CIFAR-10 by masked autoencoding, batch 256, 300 epochs; not run yet
# One view of each image, cropped and flipped; half of its patches (4 x 4 pixels) are hidden.
_base_ = [
    '../_base_/models/spikformer_mae.py',
    '../_base_/datasets/cifar10_32.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]
one_view = dict(
    type='MultiView', num_views=1, transforms=[[_base_.crop, _base_.flip]])
train_dataloader = dict(
    dataset=dict(pipeline=[one_view, dict(type='PackInputs')]))
default_hooks = dict(
    path_schedule=_base_.analog_first_masked,
    collapse=dict(levels=(0.1, 0.025)),  # of features, lower than of embeddings
    health=None,  # it compares two views
    logger=dict(interval=50), checkpoint=dict(interval=10))
