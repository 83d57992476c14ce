"""Splitway's control plane: holds the weights, numbers every change, tells every proxy.

::

    splitway (operator/)         splitway-proxy
         │ HTTP, bearer token         │ WebSocket: hello, ack, nack, ▲ snapshots
         │                            │ reports → intake.py          │
         ▼                            ▼                              │
      api/  ───────┐            stream/handler.py ──────────── stream/hub.py
                   ▼                  │                              ▲
             operations.py            ▼                              │ publish,
        check → append → publish   fleet.py: who is on what          │ after commit
             │        │                                              │
             ▼        └──────────────────────────────────────────────┘
        changes.py (pure: what a change does to traffic and split tables)
        gate.py (pure: may it be made now?)   difference.py (pure: what differs, who moves)
        audit.py (pure: the chain of seals)
    screening.py (pure: which reports count)   rollup.py (pure: how they add up)
             │
             ▼
          store/  one transaction a change: revision + tables + audit entry + reply

    access/: who calls (api/rules.py: may they?  stream/standing.py: do they still?)
      ▲ told by bookkeeping.py; issuing.py makes, rotates and revokes tokens

    cli.py (arguments) → app.py (the only file that chooses a store) → everything above

Of the proxy's code only ``proxy.model`` (the shared nouns) and ``proxy.core.split`` (the one table
builder) are imported. A change is durable before it is answered and before any proxy hears of it.
"""
