"""Reads what files, sidecars and file names state about photos."""
