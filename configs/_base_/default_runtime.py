# Runtime of self-supervised pretraining: logs, checkpoints, monitors, random numbers
# A config can change a hook by name, knn=dict(interval=4), or remove it, knn=None.
default_scope = 'mmpretrain'

default_hooks = dict(
    runtime_info=dict(type='snnssl_mm.LazyInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='snnssl_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    keep_memory=dict(type='snnssl_mm.KeepMemoryHook'),
    seeds=dict(type='snnssl_mm.EpochSeedHook'),
    teacher=dict(type='snnssl_mm.TeacherHook'),
    non_finite=dict(type='snnssl_mm.NonFiniteHook'),
    collapse=dict(type='snnssl_mm.CollapseHook'),
    firing_rate=dict(type='snnssl_mm.FiringRateHook'),
    health=dict(type='snnssl_mm.RepresentationHealthHook'),
    knn=dict(type='snnssl_mm.KNNHook', interval=1),
    linear_probe=dict(type='snnssl_mm.LinearProbeHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
# Equal smoothing windows, so that the parts add up to the loss in every log line
log_processor = dict(
    by_epoch=True,
    mean_pattern=r'.*(loss|time|diagonal|variance|gaussianity|embedding_std|grad_norm).*')
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
