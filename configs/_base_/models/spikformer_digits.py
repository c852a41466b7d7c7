# The backbone of selfsup/spikformer_ctl.py under a stock neck: strides 2, 4 and 8
spikformer = dict(
    type='snnssl_mm.Spikformer',
    arch=dict(embed_dims=64, depth=1, num_heads=4),
    stem='cifar',
    time_steps=4,
    out_indices=(1, 2, 3))
pyramid = dict(in_channels=[32, 64, 64], out_channels=64, num_outs=3)
strides = [2, 4, 8]
pixels = dict(mean=[38.0, 38.0, 38.0], std=[62.0, 62.0, 62.0])
# For spiking necks and heads, as they begin from random weights and train for 225 iterations:
# neurons that fire early, and a wide surrogate gradient
spiking = dict(neuron=dict(v_threshold=0.5, surrogate='atan'))
spiking_pyramid = dict(
    type='snnssl_mm.SpikingNeck',
    neck=dict(type='FPN', **pyramid),
    time_readout='none',
    **spiking)
