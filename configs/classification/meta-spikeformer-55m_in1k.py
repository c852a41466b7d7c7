# Meta-SpikeFormer 55M with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# snnssl zoo get meta-spike-former-55m_official-kd_in1k, then snnssl test CONFIG with that name; training fine-tunes
# As its authors evaluate: 224 of 256 pixels (bicubic), T = 4
# The logits are the mean of head and head_kd.
_base_ = '../_base_/models/official_classifier.py'
model = dict(
    backbone=dict(type='snnssl_mm.MetaSpikeFormer', arch='55M', neuron=_base_.lif),
    head=dict(in_channels=640, neuron=_base_.lif, distilled=True))

# 12 depths: the stem learns at 0.85 ** 11 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
