"""Report on a pretrained checkpoint, with verdicts."""
