"""Splitway's data plane: a reverse proxy that splits traffic between versions, per user.

    sync.file ────┐                   ┌─► worker            (one process), or
    sync.stream ──┼─► agent ─ Snapshot ─┴─► fleet ─► worker × N (supervisor, link)
    sync.state ───┤     └── admin: /metrics /readyz /config /explain
    discovery ────┘                               │
                                    worker: net.Plane.install
                                                  │
    client ─► net.downstream ─► net.exchange ─► net.upstream ─► endpoint
                   │                  │
             http1.request    core.router ─ core.sticky ─ core.split
                                      │
                                  telemetry (counts, access log)

``model`` holds the shared nouns. ``core`` is pure: values in, decision out. ``http1`` turns bytes
into messages and back. ``net`` owns sockets and relays; one exchange is one request. ``sync``
brings configuration, ``discovery`` finds endpoints, ``agent`` decides which of it is in force and
tells every worker. The
supervisor starts processes and knows nothing of HTTP. Imports go one way only:
cli → agent | fleet | worker → admin → net | sync | discovery | telemetry |
supervisor → http1 | core → model.
"""

__version__ = "0.1.0"
