# The main job without spikes: ReLU in place of every neuron, one time step, the same recipe
# A reference that shows what spiking costs. With T = 1, CTL is the loss of Barlow Twins. An
# image takes 4.12 M multiply-accumulates in the backbone; 16.31 M in the main job's (T = 4).
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(neuron=dict(type='snnssl_mm.ReLUNeuron'), time_steps=1))
default_hooks = dict(path_schedule=None)
