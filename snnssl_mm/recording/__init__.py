"""Numbers of a network or a run: spikes, operations, energy, health, results."""
