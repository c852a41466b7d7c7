# The main job with BYOL: predictions of an analog teacher, the average of past weights
# The batch norm at the projector's end is SimSiam's; short trials without it learned nothing.
_base_ = 'spikformer_simsiam.py'
# A schedule of 28 epochs is short, so that the teacher follows faster than in BYOL.
model = dict(teacher=dict(momentum=0.99, path='analog'))
