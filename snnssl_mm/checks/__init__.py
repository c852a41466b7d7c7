"""Checks of configs and data before the first iteration.

Functions ``check_*`` return what the user should know: problems of a config, or lines
for the log; those that read data raise a DataError if training is impossible.
Functions ``require_*`` return nothing and raise.
"""
