"""Owns ``${NAME}`` and ``${NAME:-default}`` inside a value. Never reads the process's environment.

``$${`` is a literal ``${``. A name that is unset without a default is a mistake, and one that is
set to nothing counts as unset where there is a default, as in a shell.
"""

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
REFERENCE = r"\$\{" + _NAME + r"(:-[^{}]*)?\}"
"""Also the JSON Schema's pattern for a value that comes from the environment."""
_OPENING = re.compile(
    rf"(?P<literal>\$\$\{{)|\$\{{(?P<name>{_NAME})(?::-(?P<default>[^{{}}]*))?\}}|(?P<bad>\$\{{)"
)


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with its variables put in.

    Raises: ValueError naming the variable that is unset, or the ``${`` that is not one.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found["literal"]:
            return "${"
        if found["bad"]:
            raise ValueError(
                "`${` must open `${NAME}` or `${NAME:-default}`; write `$${` for the characters"
            )
        if default is not None:
            return env.get(name) or default
        if name not in env:
            raise ValueError(
                f"${{{name}}} is not set in the environment; set it, "
                f"or give a default: ${{{name}:-…}}"
            )
        return env[name]

    return _OPENING.sub(value, text)
