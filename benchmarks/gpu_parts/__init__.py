"""Parts of benchmarks/gpu_anatomy.py, each a list of measurements by name."""
