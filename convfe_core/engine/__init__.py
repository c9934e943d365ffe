"""A traced TensorFlow graph run by onnxruntime."""
