# Semantic FPN on multi-digit scenes that spikes up to its last layer, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/_base_/models/fpn_r50.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl/epoch_28.pth
_base_ = 'semantic-fpn_spikformer_digits.py'
# Fewer spikes than at the detectors' threshold of 0.5
neuron = dict(surrogate='atan')
model = dict(
    # Spikes of two time steps say too little.
    backbone=dict(time_steps=4, time_readout='none'),
    neck=dict(_delete_=True, **{**_base_.spiking_pyramid, 'neuron': neuron}),
    decode_head=dict(type='snnssl_mm.SpikingFPNHead', neuron=neuron))
