# AdamW for 300 epochs: 10 of linear warm-up, then cosine decay
_base_ = 'adamw.py'
train_cfg = dict(by_epoch=True, max_epochs=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=300, eta_min=1e-6,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=256)
