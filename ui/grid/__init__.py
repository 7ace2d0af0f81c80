"""The grid: all photos of a run in a full window, to filter, search and decide on in bulk."""
