"""Autobahn's WebSocket cases against an echo server, directly and through the proxy.

``python -m loadtests.autobahn --wstest PATH``: ``run`` starts the ``echo`` server, the proxy
and ``wstest -m fuzzingclient``; ``reports`` (pure) says which cases are worse through the proxy.
"""
