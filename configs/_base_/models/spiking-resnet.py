# SEW-ResNets, to replace a model's backbone: dict(_delete_=True, **_base_.X)
sew_resnet_34 = dict(
    type='snnssl_mm.SpikingResNet',
    depth=34,
    shortcut='sew',
    stem='imagenet',
    time_steps=4)
sew_resnet_18_cifar = dict(sew_resnet_34, depth=18, stem='cifar')
