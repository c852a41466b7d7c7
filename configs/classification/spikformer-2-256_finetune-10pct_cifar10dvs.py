# Fine-tuning on 10 % of CIFAR10-DVS's labels, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# 900 recordings, as often as all of them: 140 iterations an epoch
_base_ = 'spikformer-2-256_finetune_cifar10dvs.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='snnssl_mm.RepeatedFraction',
        fraction=0.1,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
