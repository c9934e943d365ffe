"""An ONNX file: read, checked, its maps found, and run by onnxruntime."""
