# Spikformer-2-256 on DVS128 Gesture, 1,176 recordings, batch 64 on one GPU, 300 epochs
# snnssl train configs/selfsup/spikformer-2-256_ctl_dvsgesture.py --amp
# A gesture is a motion: all 16 frames from the beginning, other than for moved images.
_base_ = [
    '../_base_/models/spikformer-2-256_ctl_events.py',
    '../_base_/datasets/dvs_gesture.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]
# 1e-3 for batches of 256
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=10), knn=dict(interval=10))
