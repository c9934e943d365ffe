"""What everything else may use: errors, wording, folders, memory, the machine's queue."""
