"""What the layers of a network do to places: taps, strides, cells."""
