"""Attacks that cost the attacker little: ``python -m loadtests.slow``, by hand.

``run`` keeps the order: a back end (``backend``) and the proxy as real processes; a good client
(``good``) alone, then beside slowhttptest's slow heads, slow bodies and slow reads (``attacks``),
then beside a flood of expensive heads (``flood``). ``table`` shows what that did to the good
client, what each held connection cost in memory, and whether the proxy let go of it at its limits.
"""
