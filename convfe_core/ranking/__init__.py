"""From a data set to a verdict: the run, its tables and plots."""
