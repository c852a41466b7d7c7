# Spikformer-16-512 on ImageNet-1K by AdamW and mmengine's FlexibleRunner, 32 GPUs x 64
# torchrun --nnodes=4 --nproc-per-node=8 --no-python snnssl train CONFIG --launcher pytorch --amp bfloat16
# The learning rate is 1e-3 per 256 images times the square root of 8; not run yet.
_base_ = 'spikformer-16-512_ctl_in1k.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2.8e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True,
        bias_decay_mult=0.,
        custom_keys={'.bn': dict(decay_mult=0.), 'downsample.1': dict(decay_mult=0.)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=100, eta_min=1e-6,
         convert_to_iter_based=True),
]
runner_type = 'FlexibleRunner'
strategy = dict(type='DDPStrategy')
