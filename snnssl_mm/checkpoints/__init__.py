"""Checkpoints: safe reading, strict loading, atomic writing, resume, model zoo."""
