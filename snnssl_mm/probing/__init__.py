"""Evaluation of a backbone: k-NN, linear probes, few labels, fine-tuning."""
