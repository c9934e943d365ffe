"""What everything else may use: errors, wording, array types, folders and files, pace."""
