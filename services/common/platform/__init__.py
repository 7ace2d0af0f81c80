"""Platform differences: only this package uses functions that Linux, macOS or Windows lacks."""
