"""Finding endpoints: DNS, a file, Kubernetes, AWS Cloud Map.

Owns asking where a version's endpoints are now, and keeping what was found last while nobody
answers. Never decides which of them gets a request (``proxy.net.endpoints`` does), and never takes
a configuration into force (``proxy.agent`` does).
"""
