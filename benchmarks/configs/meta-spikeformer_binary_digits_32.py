# SDT-V2 with its published binary neurons, to compare with the integers of its main config
_base_ = '../../configs/selfsup/meta-spikeformer_ctl.py'
model = dict(backbone=dict(neuron=dict(type='snnssl_mm.MixedLIF')))
