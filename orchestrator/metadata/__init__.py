"""What files, sidecars and file names state about photos."""
