"""Pictures, tables and reports of networks and runs."""
