# MaxFormer 10-512 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# snnssl zoo get maxformer-10-512-t4_official_in1k, then snnssl test CONFIG with that name; training fine-tunes
# As its authors evaluate: 224 of 256 pixels (bicubic), T = 4
_base_ = '../_base_/models/official_classifier.py'
model = dict(
    backbone=dict(type='snnssl_mm.MaxFormer', arch='10-512', neuron=_base_.lif),
    head=dict(in_channels=512, neuron=_base_.lif))

# 5 depths: the stem learns at 0.65 ** 4 = 0.18 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
