"""The command ``snnssl``: one module for each of its subcommands."""
