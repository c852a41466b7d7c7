# N-MNIST, real recordings: what 10 and 30 labels a class give, and all of them
# snnssl train configs/selfsup/spikformer_ctl_nmnist.py
# snnssl transfer ctl=work_dirs/spikformer_ctl_nmnist/epoch_80.pth --suite nmnist
# --data FOLDER for another folder than data/n-mnist. Raw pixels are counts of events.
pretraining = '../selfsup/spikformer_ctl_nmnist.py'
seeds = [0, 1, 2]
baselines = ['random', 'pixels']
labels = [10, 30, 1.0]
tasks = dict(
    knn=dict(probe='knn', fractions=labels),
    linear=dict(probe='linear', fractions=labels))
