# The main job with a small Spikingformer in place of the Spikformer. Its stride is 16: the
# same scenes, drawn at 64 pixels, give it 4 x 4 positions, as stride 4 has at 16 pixels.
# snnssl train configs/selfsup/spikingformer_ctl.py
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.Spikingformer',
        arch=dict(embed_dims=64, depth=1, num_heads=4),
        time_steps=4,
        bn='per_view'))

scenes = dict(data_root='data/digit_scenes_64', size=64)
file_loading = [
    _base_.file_loading[0],
    dict(_base_.file_loading[1], scale=64),
    dict(_base_.file_loading[2], crop_size=64),
]
train_dataloader = dict(dataset=scenes)
eval_train_dataloader = dict(dataset=scenes)
eval_test_dataloader = dict(dataset=scenes)
