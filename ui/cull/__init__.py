"""The Cull view: a full window for keeping and rejecting a run's photos with the keyboard."""
