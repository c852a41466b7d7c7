# BYOL in place of CTL: a predictor, an analog teacher, and the momentum of 300 epochs
# Configs use it by model = dict(_base_.byol, predictor=dict(_base_.byol.predictor, ...)).
byol = dict(
    # In short trials on the digits nothing was learned without a batch norm at the end.
    neck=dict(with_last_bn=True, with_last_bn_affine=False),
    predictor=dict(
        type='NonLinearNeck',
        with_avg_pool=False,
        with_last_bn=False,
        with_last_bias=True,
        norm_cfg=dict(type='BN1d')),
    teacher=dict(momentum=0.99, path='analog'),
    head=dict(loss=dict(_delete_=True, type='snnssl_mm.NegativeCosineLoss')))
