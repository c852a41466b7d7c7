# Fine-tuning on 1 % of the labels of digit events, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# 40 recordings, as often as all of them: 62 iterations an epoch
_base_ = 'spikformer_finetune_events.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='snnssl_mm.RepeatedFraction',
        fraction=0.01,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
