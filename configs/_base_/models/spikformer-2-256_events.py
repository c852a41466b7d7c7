# Frozen Spikformer-2-256 for recordings of 128x128 pixels, under a linear classifier
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='snnssl_mm.ClipDataPreprocessor',
        data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=10)),
    backbone=dict(
        type='snnssl_mm.Spikformer',
        arch='2-256',
        stem='imagenet',
        in_channels=2,
        attention_scale=0.25,
        frozen_stages=2,  # the stem and both blocks
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint='')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='snnssl_mm.NormalizedLinearClsHead', num_classes=10, in_channels=256))
