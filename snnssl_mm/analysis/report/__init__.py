"""Report on one pretraining, with verdicts."""
