"""The command ``snnssl``, and what its tools share."""
