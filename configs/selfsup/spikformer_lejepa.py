# The main job with LeJEPA: agreement over time steps, each distributed as a Gaussian
_base_ = 'spikformer_ctl.py'
model = dict(head=dict(loss=dict(_delete_=True, type='snnssl_mm.LeJEPALoss')))
