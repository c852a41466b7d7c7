# Fine-tuning on 10 % of N-MNIST's labels, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# The labelled recordings come as often as all of them: as many iterations an epoch
_base_ = 'spikformer_finetune_nmnist.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='snnssl_mm.RepeatedFraction',
        fraction=0.1,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
