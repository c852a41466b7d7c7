# MaxFormer 10-512 under a stock neck or head: strides 4 to 32
# with_cp: at 1333x800 activations, not weights, fill the memory.
pyramid = dict(
    type='snnssl_mm.MaxFormer',
    arch='10-512',
    time_steps=4,
    out_indices=(0, 1, 2, 3),
    with_cp=True)
pyramid_channels = [128, 256, 512, 512]

# 5 depths: the stem learns at 0.65 ** 4 = 0.18 of the rate.
pyramid_decay = dict(layer_decay_rate=0.65)
