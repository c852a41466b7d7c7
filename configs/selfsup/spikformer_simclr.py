# The main job with NT-Xent (SimCLR): samples are told apart, over time steps
_base_ = 'spikformer_ctl.py'
model = dict(head=dict(loss=dict(
    _delete_=True, type='snnssl_mm.NTXentLoss', temperature=0.2)))
