"""Marks: boxes that a visitor draws around objects, and what they say of the maps."""
