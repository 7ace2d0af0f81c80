"""Converts published weights to ONNX files, using only NumPy."""
