"""Where the cells of a map lie on the picture, whatever library has the network."""
