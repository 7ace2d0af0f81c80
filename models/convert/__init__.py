"""Published weights to ONNX files, with nothing but NumPy."""
