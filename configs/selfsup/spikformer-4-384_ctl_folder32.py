# The CIFAR-10 recipe on a folder of your own small images (32 pixels)
# README: 'Your own images'. For 224 pixels inherit ../_base_/datasets/image_folder.py.
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/image_folder_32.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/schedules/analog_first.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(
    path_schedule=_base_.analog_first,
    logger=dict(interval=50), checkpoint=dict(interval=10))
