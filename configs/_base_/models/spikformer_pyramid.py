# Spikformer-8-512 under a stock neck or head: C/4, C/2, C, C channels, strides 4 to 32
# with_cp: at 1333x800 activations, not weights, fill the memory.
spikformer = dict(
    type='snnssl_mm.Spikformer',
    arch='8-512',
    stem='imagenet',
    time_steps=4,
    out_indices=(0, 1, 2, 3),
    with_cp=True)
spikformer_channels = [128, 256, 512, 512]
# For spiking necks and heads: the neurons of the digits' detectors, statistics of all GPUs,
# and recomputed activations, as time multiplies their memory
spiking = dict(
    neuron=dict(v_threshold=0.5, surrogate='atan'),
    norm=dict(type='SyncBN'),
    with_cp=True)
spiking_neck = dict(type='snnssl_mm.SpikingNeck', time_readout='none', **spiking)
# As in pretraining, for configs that normalise otherwise
imagenet_pixels = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)

# 10 depths (stem, 8 blocks, head): the stem learns at 0.8 ** 9 = 0.13 of the rate.
layer_decay = dict(
    constructor='snnssl_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.8, norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))
