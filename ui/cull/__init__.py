"""The Cull view: a full window to keep and reject the photos of a run by keys."""
