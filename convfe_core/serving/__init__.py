"""Many visitors in one process: loaded backbones, kept maps, allowances, the log."""
