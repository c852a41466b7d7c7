# The main job with SimSiam: each slice's embedding is predicted from the others'
_base_ = 'spikformer_ctl.py'
model = dict(
    neck=dict(with_last_bn=True, with_last_bn_affine=False),
    predictor=dict(
        type='NonLinearNeck',
        hid_channels=128,
        with_avg_pool=False,
        with_last_bn=False,
        with_last_bias=True,
        norm_cfg=dict(type='BN1d')),
    head=dict(loss=dict(_delete_=True, type='snnssl_mm.NegativeCosineLoss')))
