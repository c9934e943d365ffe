"""Photographs paired with their boxes."""
