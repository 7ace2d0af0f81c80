"""Exports PyTorch checkpoints to verified ONNX files; needs the `export` extra."""
