"""MixedLIF kernels: a readable reference, and fused ones for CPU and CUDA.

``reference.py`` defines the result; ``cpu.py`` (numba) and ``cupy.py`` (CUDA) must
agree with it; ``ops.py`` registers both as one torch operator.
"""
