# The main job with VICReg: variance, invariance and covariance over time steps
_base_ = 'spikformer_ctl.py'
model = dict(head=dict(loss=dict(_delete_=True, type='snnssl_mm.VICRegLoss')))
