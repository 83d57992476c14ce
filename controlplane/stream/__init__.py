"""The control stream: who waits for which snapshot (``hub``), and the WebSocket (``handler``)."""
