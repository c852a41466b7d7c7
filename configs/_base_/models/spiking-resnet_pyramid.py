# SEW-ResNets under a stock neck or head: their four stages, strides 4 to 32
# with_cp: at 1333x800 activations, not weights, fill the memory.
_base_ = 'spiking-resnet.py'
spiking_resnet_34 = dict(
    out_indices=(0, 1, 2, 3), with_cp=True, **_base_.sew_resnet_34)
spiking_resnet_50 = dict(spiking_resnet_34, depth=50)
channels_34 = [64, 128, 256, 512]
channels_50 = [256, 512, 1024, 2048]
