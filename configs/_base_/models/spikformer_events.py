# The backbone of selfsup/spikformer_ctl_events.py, for stock necks and heads
_base_ = 'spikformer_digits.py'
spikformer = dict(in_channels=2)
