"""The web UI: a client of the orchestrator's API that runs in a browser."""
