"""The page about one pretraining, and its verdicts."""
