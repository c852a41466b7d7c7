# The main job on events with integer neurons: 0 to 4 spikes a frame instead of 0 or 1
# The features are better, docs/results/events.md; an integer n stands for n spikes.
# snnssl train configs/selfsup/spikformer_ctl_events_integers.py
_base_ = 'spikformer_ctl_events.py'
model = dict(backbone=dict(neuron=dict(type='snnssl_mm.MixedILIF')))
