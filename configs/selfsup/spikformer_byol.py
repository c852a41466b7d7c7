# The main job with BYOL: predictions of an analog teacher, the average of past weights
_base_ = 'spikformer_simsiam.py'
model = dict(
    neck=dict(with_last_bn=False, with_last_bn_affine=True),
    # A schedule of 28 epochs is short, so that the teacher follows faster than in BYOL.
    teacher=dict(momentum=0.99, path='analog'))
