"""The grid: all photos in a run in a full window, to filter, search and decide on in bulk."""
