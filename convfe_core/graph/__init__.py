"""Where the cells of a map lie on the picture: what each layer of a network does to places."""
