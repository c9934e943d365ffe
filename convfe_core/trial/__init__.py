"""A small detector, trained on a backbone's frozen features and tried on photographs that it has not seen."""
