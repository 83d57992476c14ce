"""Thousands of proxies without a data plane on one control plane: ``python -m loadtests.fleet``.

``frames`` reads and writes the few WebSocket frames of the stream. ``member`` is one proxy: it
connects, says hello, acknowledges every snapshot and comes back as a proxy does. ``crowd`` is a
process of many (``python -m loadtests.fleet.crowd``), told what to do by lines on its standard
input. ``run`` keeps the order: a real ``splitway-control``, the crowds, changes of weights, a
quiet while, a restart. ``report`` shows what that took.
"""
