# Spikformer-4-384 on ImageNet-1K with NT-Xent in place of CTL, temperature of SimCLR's; not run yet
_base_ = 'spikformer-4-384_ctl_in1k.py'
model = dict(head=dict(loss=dict(
    _delete_=True, type='snnssl_mm.NTXentLoss', temperature=0.1)))
