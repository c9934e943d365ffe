"""What each number of a ranking is worth: compared with detectors that were trained (see docs/validity.md)."""
