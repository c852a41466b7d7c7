# Spikformer pretrained by masked autoencoding; sizes of arch 4-384 (the default)
model = dict(
    type='snnssl_mm.MaskedSSL',
    mask_ratio=0.5,
    backbone=dict(type='snnssl_mm.Spikformer', stem='cifar', time_steps=4),
    neck=dict(type='snnssl_mm.MaskedPatchDecoder', in_channels=384),
    head=dict(
        type='snnssl_mm.MaskedPatchHead',
        norm_pix=True,
        loss=dict(type='PixelReconstructionLoss', criterion='L2')))

# The analog path at two time steps for 80 % of the training, then spikes at four
# Configs use it by default_hooks = dict(path_schedule=_base_.analog_first_masked).
analog_first_masked = dict(
    type='snnssl_mm.PathScheduleHook',
    stages=[
        dict(train_path='analog', train_time_steps=2),
        dict(begin=0.8, train_path='spike', train_time_steps=4),
    ])
