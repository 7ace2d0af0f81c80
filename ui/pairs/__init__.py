"""The pair mode: a full window that shows two shots and asks which one is better."""
