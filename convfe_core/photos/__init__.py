"""From bytes to a photograph, and to the canvas that a network receives."""
