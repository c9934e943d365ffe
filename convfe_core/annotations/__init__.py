"""Boxes as annotation tools write them, a module a format."""
