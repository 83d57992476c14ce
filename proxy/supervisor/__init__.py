"""Processes: start, signal, respawn. Knows nothing of HTTP."""
