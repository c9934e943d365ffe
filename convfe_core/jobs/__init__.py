"""Long runs in shards, on this machine or on a Ray cluster."""
