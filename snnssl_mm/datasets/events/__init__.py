"""Recordings of event cameras: loading, folders, representations."""
