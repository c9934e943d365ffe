"""From a data set to a verdict: the run, its tables, plots and reports."""
