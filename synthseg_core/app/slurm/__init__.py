"""Shards: one allocation of SLURM a part of the scans, and the record of what was submitted."""
