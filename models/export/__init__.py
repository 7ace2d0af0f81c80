"""Exports PyTorch checkpoints to verified ONNX files; needs the extra `export`."""
