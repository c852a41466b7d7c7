# The main job with the Boundary Temporal Loss: first and last time step only
_base_ = 'spikformer_ctl.py'
model = dict(head=dict(loss=dict(type='snnssl_mm.BoundaryTemporalLoss')))
