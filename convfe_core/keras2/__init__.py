"""What Keras 2 wrote into model files as TensorFlow's own functions, in operations of Keras 3."""
