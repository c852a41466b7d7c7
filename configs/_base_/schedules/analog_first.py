# Both views analog at two time steps for 80 % of the training, then MixedLIF at four
# It costs less, and analog gradients predict the loss: docs/results/ablation.md.
# Configs use it by default_hooks = dict(path_schedule=_base_.analog_first).
analog_first = dict(
    type='snnssl_mm.PathScheduleHook',
    stages=[
        dict(train_path='analog', train_time_steps=2),
        dict(begin=0.8, train_path='dual', train_time_steps=4),
    ])
