"""Files of event recordings: one module per family of formats."""
