"""Compiles the modules on a request's path with mypyc while a wheel is built (docs/adr/0009).

The same sources run uncompiled: an editable install, a machine without a C compiler and
``SPLITWAY_COMPILE=0`` get them as they are. ``SPLITWAY_COMPILE=1`` makes a failure an error.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HOT = (
    *("core/assign", "core/balance", "core/decision", "core/finder", "core/forwarded"),
    *("core/match", "core/message", "core/outcome", "core/path", "core/pin", "core/request_view"),
    *("core/router", "core/slot", "core/sticky", "core/token_bucket", "core/values"),
    *("http1/body", "http1/errors", "http1/fields", "http1/forward", "http1/grammar"),
    *("http1/problem", "http1/request", "http1/response"),
    *("net/acceptor", "net/asker", "net/backlog", "net/deadline", "net/downstream"),
    *("net/endpoints", "net/exchange", "net/load", "net/mirror", "net/outbox", "net/pace"),
    *("net/pool", "net/retries", "net/runtime", "net/tunnel", "net/turns", "net/unsent"),
    *("net/upstream", "telemetry/histogram", "telemetry/metrics", "model/spread", "model/users"),
    "core/user",
)
# What they are built with, and whose types they are checked against. mypyc's own speed and
# strictness move with mypy's releases.
NEEDED = ["mypy>=1.15", "setuptools", "msgspec>=0.19", "mmh3>=5.1"]
ASKED = os.environ.get("SPLITWAY_COMPILE", "")


def has_compiler() -> bool:
    """Whether extension modules can be built here."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which(command) is not None and header.exists()


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, beside their sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What compiling needs, where there will be any."""
        return NEEDED if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the install is editable: a compiled module would hide its source."""
        if version == "editable" or not self._wanted():
            return
        self._folder = tempfile.TemporaryDirectory(prefix="splitway-compile-")
        built = self._compile(Path(self._folder.name))
        if built:
            build_data["force_include"].update(built)
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 hatchling's form
        """The wheel is written."""
        if (folder := getattr(self, "_folder", None)) is not None:
            folder.cleanup()

    def _wanted(self) -> bool:
        return self.target_name == "wheel" and ASKED != "0" and (ASKED == "1" or has_compiler())

    def _compile(self, folder: Path) -> dict[str, str]:
        """Where each extension module lies → where it goes."""
        shutil.copytree(Path(self.root, "proxy"), folder / "proxy")
        sources = [f"proxy/{name}.py" for name in HOT]
        done = subprocess.run(
            # What hot modules take from others, but for those in NEEDED, has no types for them.
            [
                sys.executable,
                "-m",
                "mypyc",
                "--config-file",
                os.devnull,
                "--ignore-missing-imports",
                *sources,
            ],
            cwd=folder,
            env={**os.environ, "MYPYC_DEBUG_LEVEL": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-4_000:]
            if ASKED == "1":
                raise RuntimeError(f"mypyc failed:\n{said}")
            self.app.display_warning(f"not compiled, the sources serve as they are:\n{said}")
            return {}
        found = [*folder.glob("*.so"), *folder.glob("proxy/**/*.so")]
        for module in found:
            # Half of their size is symbols for a debugger.
            if (strip := shutil.which("strip")) is not None:
                subprocess.run([strip, "--strip-unneeded", module], check=False)
        return {str(module): str(module.relative_to(folder)) for module in found}
