"""The verdict on a data set."""
