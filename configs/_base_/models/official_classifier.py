# Classifier of a spiking transformer with official weights on ImageNet-1K, 4 time steps
# A config that inherits it names the backbone and the channels of the head.
_base_ = '../../classification/spikformer-16-512_finetune_in1k.py'
lif = dict(tau=2.0, decay_input=True, surrogate='sigmoid')  # the published neuron
model = dict(
    backbone=dict(
        _delete_=True,
        time_steps=4,
        time_readout='none',
        with_cp=True),
    neck=None,
    head=dict(type='snnssl_mm.SpikingLinearClsHead'))
