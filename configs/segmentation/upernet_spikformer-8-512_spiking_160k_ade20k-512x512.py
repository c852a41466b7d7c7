# UPerNet ADE20K 160k that spikes up to its last layers, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'upernet_spikformer-8-512_160k_ade20k-512x512.py'
model = dict(
    backbone=dict(time_readout='none'),
    decode_head=dict(type='snnssl_mm.SpikingUPerHead', **_base_.spiking),
    auxiliary_head=dict(type='snnssl_mm.SpikingFCNHead', **_base_.spiking))
