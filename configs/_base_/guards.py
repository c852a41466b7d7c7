# Any checkpoint resumes to the bit, and the first NaN stops the training
# For configs whose other hooks are all of another library.
custom_hooks = [
    dict(type='snnssl_mm.IterationSeedHook'),
    dict(type='snnssl_mm.NonFiniteHook'),
]
