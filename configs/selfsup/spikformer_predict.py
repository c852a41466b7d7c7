# The main job with prediction: the next time step of the other view, from the past
_base_ = 'spikformer_simsiam.py'
model = dict(head=dict(loss=dict(type='snnssl_mm.NextStepLoss', time='all')))
