"""Which photos of each moment are picked, and why: a pure function of what a run stored."""
