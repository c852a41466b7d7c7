# The main job without a temporal loss: all time steps as one batch of Barlow Twins
_base_ = 'spikformer_ctl.py'
model = dict(head=dict(loss=dict(type='snnssl_mm.TimeFlattenedLoss')))
