# Spike-driven Transformer 8-512 under a stock neck or head: strides 4 to 32
# with_cp: at 1333x800 activations, not weights, fill the memory.
pyramid = dict(
    type='snnssl_mm.SpikeDrivenTransformer',
    arch='8-512',
    time_steps=4,
    out_indices=(0, 1, 2, 3),
    with_cp=True)
pyramid_channels = [128, 256, 512, 512]
