"""The comparison: Splitway beside nginx, HAProxy, Envoy, Traefik and Caddy on the same work.

``__main__`` reads the arguments and ``run`` keeps the order of a run: one process of a proxy
(``peers``) at a time, alone on one CPU (``stage``), while the load (``scenarios``, ``wrk``,
``pace``, ``idle``, ``weights``) has another. ``proc`` reads what the kernel says of the proxy,
``figures`` holds what was measured, ``tables``, ``page`` and ``plot`` show it.
"""
