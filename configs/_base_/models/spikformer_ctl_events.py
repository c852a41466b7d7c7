# A small Spikformer for recordings of event cameras, pretrained with MixedLIF and CTL
_base_ = 'spikformer_ctl.py'
model = dict(
    # A view normalised with its partner's statistics could see the partner through them.
    projector_bn='per_view',
    backbone=dict(
        in_channels=2,  # OFF and ON events; T is that of the frames
        arch=dict(embed_dims=64, depth=1, num_heads=4),
        bn='per_view'),
    neck=dict(in_channels=64, hid_channels=512, out_channels=512))

# analog_first.py of frames, which differ: all of them from the start
# Configs use it by default_hooks = dict(path_schedule=_base_.analog_first_frames).
analog_first_frames = dict(
    type='snnssl_mm.PathScheduleHook',
    stages=[dict(train_path='analog'), dict(begin=0.8, train_path='dual')])
