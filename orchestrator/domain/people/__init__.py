"""Pure functions: which faces belong to one person, and what the user has said about them."""
