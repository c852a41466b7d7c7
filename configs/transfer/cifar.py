# CIFAR-10: frozen features, few labels and fine-tuning
# snnssl transfer ctl=work_dirs/spikformer-4-384_ctl_cifar10/epoch_300.pth --suite cifar
pretraining = '../selfsup/spikformer-4-384_ctl_cifar10.py'
seeds = [0, 1, 2]
baselines = ['random', 'pixels']
tasks = dict(
    knn=dict(probe='knn'),
    linear=dict(probe='linear', fractions=[0.01, 0.1, 1.0]),
    semi_1pct=dict(probe='semi-1pct'),
    semi_10pct=dict(probe='semi-10pct'),
    finetune=dict(probe='finetune'))
