"""What happened in a run: curves, neighbours, records of results."""
