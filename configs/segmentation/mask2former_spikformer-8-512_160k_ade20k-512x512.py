# Mask2Former ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.spikformer),
    decode_head=dict(in_channels=_base_.spikformer_channels))
default_hooks = _base_.guards
