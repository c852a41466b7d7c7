"""Guards that stop a run with a message: bad batches, full disks, dead workers."""
