"""Shared nouns: configuration, wire messages and errors. No I/O, no behaviour beyond parsing."""
