# Every checkpoint resumes bit-identically, and the first NaN stops the training
# For configs that inherit hooks of other libraries: default_hooks = _base_.guards
guards = dict(
    runtime_info=dict(type='snnssl_mm.LazyInfoHook'),
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook'),
    seeds=dict(type='snnssl_mm.IterationSeedHook'),
    non_finite=dict(type='snnssl_mm.NonFiniteHook'))
