"""Sockets: connections to clients and to endpoints, and one exchange between the two."""
