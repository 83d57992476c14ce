"""Owns the back end of the attacks: nginx where it is, else the sample.

The sample, in Python, stalls by itself for 100 to 300 ms while thousands of its handlers wait.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.compare.peers import fill, find, identity
from loadtests.slow.attacks import BLOB_BYTES

_NGINX = """\
daemon off;
user <<user>> <<group>>;
worker_processes 1;
worker_rlimit_nofile <<files>>;
pid <<folder>>/nginx.pid;
error_log stderr error;
events { worker_connections <<connections>>; }
http {
    access_log off;
    client_max_body_size 0;
    client_body_timeout 300s;
    send_timeout 300s;
    client_body_temp_path <<folder>>/body;
    proxy_temp_path <<folder>>/proxy;
    fastcgi_temp_path <<folder>>/fastcgi;
    uwsgi_temp_path <<folder>>/uwsgi;
    scgi_temp_path <<folder>>/scgi;
    server {
        listen 127.0.0.1:<<port>> backlog=4096;
        location /api/ { default_type application/json; return 200 '{"items": []}'; }
        location /blob { root <<folder>>; }
        # Reads a body to its end before it asks further, and only then answers.
        location /upload { proxy_pass http://unix:<<folder>>/answers; }
    }
    server { listen unix:<<folder>>/answers; return 200 'taken'; }
}
"""


def backend_command(folder: Path, port: int, files: int) -> Sequence[str]:
    """What to run, its files written to ``folder``: ``/api/items``, ``/blob``, ``/upload``.

    Args:
        files: how many it may open.
    """
    nginx = find("nginx")
    if nginx is None:
        return [sys.executable, "-m", "loadtests.sample", "--version=stable", f"--port={port}"]
    (folder / "blob").write_bytes(b"x" * BLOB_BYTES)
    values = {"folder": folder, "port": port, "files": files, "connections": files - 100}
    (folder / "nginx.conf").write_text(fill(_NGINX, {**values, **identity()}))
    return [nginx, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
