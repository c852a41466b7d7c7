# AdamW without weight decay on biases and norms; the schedule is set in the configs
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='snnssl_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        bias_decay_mult=0.,
        custom_keys={'.bn': dict(decay_mult=0.), 'downsample.1': dict(decay_mult=0.)}))
