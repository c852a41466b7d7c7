# E-SpikeFormer 19M with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# snnssl zoo get e-spike-former-19m_official_in1k, then snnssl test CONFIG with that name; training fine-tunes
# As its authors evaluate: 224 of 256 pixels (bicubic), T = 1 with integers 0 to 4
_base_ = '../_base_/models/official_classifier.py'
model = dict(
    backbone=dict(type='snnssl_mm.ESpikeFormer', arch='19M', time_steps=1),
    head=dict(
        in_channels=360,
        neuron=dict(type='snnssl_mm.MixedILIF', normalize=False)))

# 12 depths: the stem learns at 0.85 ** 11 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
