# Fine-tuning on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# Without --pretrained it is the supervised baseline. Not run yet.
_base_ = [
    'spikformer-16-512_finetune_in1k.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        with_cp=True,
        **_base_.sew_resnet_34))

# 6 depths: the stem learns at 0.7 ** 5 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
