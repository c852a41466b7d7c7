"""Transfer suites: lists of downstream tasks, run for checkpoints and random weights.

* :mod:`~snnssl_mm.transfer.suites`: suites and their tasks, read from short configs;
* :mod:`~snnssl_mm.transfer.jobs`: one training or probe of one task, entry and seed;
* :mod:`~snnssl_mm.transfer.task_configs`: the complete config of a job;
* :mod:`~snnssl_mm.transfer.readiness`: what is checked before the first job;
* :mod:`~snnssl_mm.transfer.execution`: executes a job and writes its row;
* :mod:`~snnssl_mm.transfer.slurm`: jobs as a Slurm job array.
"""
