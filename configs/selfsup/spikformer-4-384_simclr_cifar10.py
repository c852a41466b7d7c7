# Spikformer-4-384 on CIFAR-10 with NT-Xent in place of CTL, temperature of SimCLR's; not run yet
_base_ = 'spikformer-4-384_ctl_cifar10.py'
model = dict(head=dict(loss=dict(
    _delete_=True, type='snnssl_mm.NTXentLoss', temperature=0.5)))
