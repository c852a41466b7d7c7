# MaxFormer 10-512 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# snnssl convert THEIRS.pth CKPT --with-head && snnssl test CONFIG CKPT; training fine-tunes
# As its authors evaluate: 224 of 256 pixels (bicubic), T = 4
_base_ = 'spikformer-16-512_finetune_in1k.py'
lif = dict(tau=2.0, decay_input=True, surrogate='sigmoid')
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.MaxFormer',
        arch='10-512',
        time_steps=4,
        neuron=lif,
        time_readout='none',
        with_cp=True),
    neck=None,
    head=dict(
        type='snnssl_mm.SpikingLinearClsHead',
        in_channels=512,
        neuron=lif))

# 5 depths: the stem learns at 0.65 ** 4 = 0.18 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
