"""Common style of all figures, and figures of recorded numbers."""
