"""Boxes as annotation tools write them, a room a format."""
