"""How good a representation is: k-NN, linear probes, few labels, fine-tuning."""
