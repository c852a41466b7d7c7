"""What stops a run, and what it says: bad batches, full disks, dead workers."""
