# Meta-SpikeFormer 55M under a stock neck or head: strides 4 to 32
# with_cp: at 1333x800 activations, not weights, fill the memory.
pyramid = dict(
    type='snnssl_mm.MetaSpikeFormer',
    arch='55M',
    time_steps=4,
    out_indices=(0, 1, 2, 3),
    with_cp=True)
pyramid_channels = [128, 256, 512, 640]

# 12 depths: the stem learns at 0.85 ** 11 = 0.17 of the rate.
pyramid_decay = dict(layer_decay_rate=0.85)
