# CIFAR-10 in about an hour of two CPU cores; run with --amp where they compute bf16
# Images: CIFAR-10 as JPEGs in data/cifar10-jpeg/{train,test}/<class>/*.jpg
_base_ = '../../configs/selfsup/spiking-resnet-18_ctl_folder32_cpu.py'

data_root = 'data/cifar10-jpeg'
train_dataloader = dict(dataset=dict(data_root=data_root))
eval_train_dataloader = dict(dataset=dict(data_root=data_root))
eval_test_dataloader = dict(dataset=dict(data_root=data_root))
max_probe_samples = 10_000
