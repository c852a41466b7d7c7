"""Shared parts of the commands: arguments, configs, error messages, child processes."""
