# Any checkpoint resumes to the bit, and the first NaN stops the training
# For configs of other libraries' hooks, which take these: default_hooks = _base_.guards
guards = dict(
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook'),
    seeds=dict(type='snnssl_mm.IterationSeedHook'),
    non_finite=dict(type='snnssl_mm.NonFiniteHook'))
