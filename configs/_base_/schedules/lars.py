# LARS as in Barlow Twins for a batch of 2,048: lr 0.2 per 256 samples, biases and norms
# at 0.0048 / 0.2 of it, without weight decay and layer-wise rate
plain = dict(decay_mult=0., lr_mult=0.024, lars_exclude=True)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='snnssl_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='snnssl_mm.LARS', lr=1.6, momentum=0.9, weight_decay=1.5e-6),
    paramwise_cfg=dict(
        custom_keys={'.bn': plain, 'downsample.1': plain, 'bias': plain}))
auto_scale_lr = dict(base_batch_size=2048)
