# RetinaNet FPN 1x COCO that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/retinanet/retinanet_r50_fpn_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = 'retinanet_spikformer-8-512_fpn_1x_coco.py'
# Batch statistics of all GPUs, and activations recomputed: time multiplies their memory.
spiking = dict(norm=dict(type='SyncBN'), with_cp=True)
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(
        _delete_=True,
        type='snnssl_mm.SpikingNeck',
        neck=_base_.model.neck,
        time_readout='none',
        **spiking),
    bbox_head=dict(type='snnssl_mm.SpikingRetinaHead', **spiking))
