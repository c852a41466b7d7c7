# Spike-driven Transformer 8-512 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# snnssl zoo get spike-driven-transformer-8-512_official_in1k, then snnssl test CONFIG with that name; training fine-tunes
# As its authors evaluate: 224 of 235 pixels (crop_pct 0.95, bicubic), T = 4
_base_ = '../_base_/models/official_classifier.py'
model = dict(
    backbone=dict(
        type='snnssl_mm.SpikeDrivenTransformer', arch='8-512', neuron=_base_.lif),
    head=dict(in_channels=512, neuron=_base_.lif))

# Short side 235, centre crop 224
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=235),
    *_base_.test_pipeline[2:],
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# 10 depths: the stem learns at 0.8 ** 9 = 0.13 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
