# SEW-ResNet-18 of three stages for images of 32 pixels and two CPU cores, 20 epochs
# Maps of 8x8, 4x4 and 2x2 (stem of stride 4); one time step, and four in the last tenth.
# bf16 (--amp) doubles the speed of CPUs that compute it (lscpu: avx512_bf16, amx_bf16).
_base_ = 'spiking-resnet-34_ctl_folder32.py'
model = dict(
    backbone=dict(
        depth=18,
        stem='imagenet',
        num_stages=3,
        # The analog path is then clamp(x, 0, 1), which learns faster than the default.
        neuron=dict(v_threshold=0.5)),
    neck=dict(in_channels=256))
train_dataloader = dict(batch_size=128, num_workers=1)
eval_train_dataloader = dict(num_workers=0)
eval_test_dataloader = dict(num_workers=0)

optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=20, eta_min=1e-5,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=128)
default_hooks = dict(
    checkpoint=dict(interval=1),
    path_schedule=dict(
        type='snnssl_mm.PathScheduleHook',
        stages=[
            dict(train_path='analog', train_time_steps=1),
            dict(begin=0.9, train_path='dual', train_time_steps=4),
        ]),
    health=dict(interval=10), knn=dict(interval=4))
