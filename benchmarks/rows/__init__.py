"""The benchmark's rows: ``TITLE`` and ``cases(device, quick)`` each."""
