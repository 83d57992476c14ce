"""Counting what happened, and showing it to Prometheus and the access log."""
