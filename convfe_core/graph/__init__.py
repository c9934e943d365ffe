"""The graph of a Keras model: its taps, and what each layer does to the places of cells."""
