"""Kernels of the neurons: readable references, and fused ones for CPU and CUDA.

``reference.py`` defines the result of MixedLIF, ``integer_reference.py`` that of
MixedILIF; ``cpu.py`` (numba) and ``cupy.py`` (CUDA), each for both neurons, must agree
with them; ``ops.py`` registers both as one torch operator.
"""
