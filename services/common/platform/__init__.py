"""What differs between Linux, macOS and Windows; no other package uses functions that one lacks."""
