"""The HTTP API, one file a noun; ``middleware`` holds what every request goes through."""
