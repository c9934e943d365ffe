"""Shards on a Ray cluster: measured on this machine, and simulated for larger ones."""
