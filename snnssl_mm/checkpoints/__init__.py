"""Files of weights and runs: read safely, compared, loaded, written atomically."""
