# The main job with a trained ReLU network's features as targets, without labels
# The teacher first: snnssl train configs/selfsup/spikformer_relu.py
_base_ = 'spikformer_ctl.py'
model = dict(
    neck=dict(out_channels=64),  # as many as the teacher has features
    frozen_teacher=dict(
        backbone=dict(
            type='snnssl_mm.Spikformer',
            arch=dict(embed_dims=64, depth=1, num_heads=4),
            stem='cifar',
            time_steps=1,
            neuron=dict(type='snnssl_mm.ReLUNeuron')),
        checkpoint='work_dirs/spikformer_relu/epoch_28.pth'),
    head=dict(
        loss=dict(
            _delete_=True,
            type='snnssl_mm.FeatureDistillationLoss',
            distance='cosine',
            time='step')))
