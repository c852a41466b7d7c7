# Any checkpoint resumes to the bit, persistent data loader workers or not
custom_hooks = [dict(type='snnssl_mm.IterationSeedHook')]
