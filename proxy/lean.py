"""Owns importing aiohttp without the system's certificates: 2 MB of a sidecar's memory.

aiohttp loads them while it is imported, for clients that may never ask over TLS. Whoever does here
makes a context of its own (``proxy.sync.stream``); aiohttp's default one trusts nobody, so it fails
closed. Imported before anything that imports aiohttp.
"""

import os

_WHERE_FROM = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def _import_aiohttp() -> None:
    given = {name: os.environ.get(name) for name in _WHERE_FROM}
    os.environ.update(dict.fromkeys(_WHERE_FROM, os.devnull))
    try:
        import aiohttp  # noqa: F401 that it is imported here is the point
    finally:
        for name, value in given.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_import_aiohttp()
