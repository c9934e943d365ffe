"""Many visitors in one process."""
