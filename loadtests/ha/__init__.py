"""The demo of several control planes: two replicas on one PostgreSQL, two proxies, one death.

``balancer`` stands between the proxies and the replicas; ``run`` is the order of events.
"""
