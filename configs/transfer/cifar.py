# CIFAR-10 as JPEG files: frozen features, few labels and fine-tuning
# snnssl transfer ctl=CKPT --suite cifar --data data/cifar10-jpeg
# Another backbone: a file with _base_ = 'snnssl_mm::transfer/cifar.py' and its pretraining.
pretraining = '../selfsup/spiking-resnet-18_ctl_folder32_cpu.py'
seeds = [0, 1, 2]
baselines = ['random', 'pixels']
tasks = dict(
    knn=dict(probe='knn'),
    linear=dict(probe='linear', fractions=[0.01, 0.1, 1.0]),
    semi_1pct=dict(probe='semi-1pct'),
    semi_10pct=dict(probe='semi-10pct'),
    finetune=dict(probe='finetune'))
