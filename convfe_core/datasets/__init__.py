"""Photographs with boxes, in the formats that annotation tools write."""
