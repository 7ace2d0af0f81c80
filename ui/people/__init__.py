"""The People view: who is in the photos, in a full window."""
