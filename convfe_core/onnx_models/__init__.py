"""An ONNX file, of PyTorch or of anything else, becomes a network like those of the catalog."""
