# Semantic FPN ADE20K that spikes up to its last layer, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'semantic-fpn_spikformer-8-512_80k_ade20k-512x512.py'
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, neck=_base_.model.neck, **_base_.spiking_neck),
    decode_head=dict(type='snnssl_mm.SpikingFPNHead', **_base_.spiking))
