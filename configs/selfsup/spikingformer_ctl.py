# The main job with a small Spikingformer in place of the Spikformer. Its stride is 16: the
# same scenes, drawn at 32 pixels, give it 2 x 2 positions.
# snnssl train configs/selfsup/spikingformer_ctl.py
_base_ = 'spikformer_ctl.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.Spikingformer',
        arch=dict(embed_dims=64, depth=1, num_heads=4),
        time_steps=4,
        bn='per_view'))

scenes = dict(data_root='data/digit_scenes_32', size=32)
file_loading = [
    _base_.file_loading[0],
    dict(_base_.file_loading[1], scale=32),
    dict(_base_.file_loading[2], crop_size=32),
]
train_dataloader = dict(dataset=scenes)
eval_train_dataloader = dict(dataset=scenes)
eval_test_dataloader = dict(dataset=scenes)
