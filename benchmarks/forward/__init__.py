"""The forward pass against the machine's limit and against other runtimes."""
