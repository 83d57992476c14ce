"""Owns text → configuration: reads, converts and checks one YAML document. Never reads a file.

A text is refused whole, with every problem that is in it, each with its field, file and line.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from proxy.model.config import Config, Endpoint, EndpointUrl, Struct, Traffic, endpoint_of
from proxy.model.convert import convert
from proxy.model.errors import Problem
from proxy.model.found import is_source
from proxy.model.report import Report, item_of
from proxy.model.validate import check_config, check_endpoints, check_traffic
from proxy.model.yaml_source import read_nodes

_T = TypeVar("_T", bound=Struct)
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_WEIGHTS = re.compile(r"(services\..+)\.weights\b.*")


def parse_config(text: str, *, file: str = "", env: Mapping[str, str] = _NO_VARIABLES) -> Config:
    """One proxy's file. JSON is YAML, too.

    Args: file: named in problems only. env: what ``${NAME}`` may stand for.
    Raises: ConfigError holding every problem, by line.
    """
    return _parse(Config, check_config, text, file, env)


def parse_traffic(text: str, *, file: str = "", env: Mapping[str, str] = _NO_VARIABLES) -> Traffic:
    """A document of nothing but services and routes, as the control plane holds them.

    Raises: ConfigError holding every problem, by line.
    """
    return _parse(Traffic, check_traffic, text, file, env)


class _EndpointFile(Struct, frozen=True):
    endpoints: tuple[EndpointUrl | Endpoint, ...]


def parse_endpoints(text: str, *, file: str = "") -> tuple[Endpoint, ...]:
    """A file of endpoints, as ``file://`` sources name them: ``endpoints:`` and a list, as a
    version has it. The list may be empty.

    Raises: ConfigError holding every problem, by line.
    """
    parsed = _parse(_EndpointFile, _check_endpoint_file, text, file, _NO_VARIABLES)
    return tuple(map(endpoint_of, parsed.endpoints))


def _check_endpoint_file(value: _EndpointFile) -> list[Problem]:
    problems = list(check_endpoints("endpoints", value.endpoints))
    if not problems:
        problems = [
            Problem(item_of("endpoints", index), "a source cannot name another")
            for index, given in enumerate(value.endpoints)
            if is_source(endpoint_of(given).url)
        ]
    return problems


def _parse(
    kind: type[_T],
    check: Callable[[_T], list[Problem]],
    text: str,
    file: str,
    env: Mapping[str, str],
) -> _T:
    report = Report(file)
    nodes = read_nodes(text, env, report)
    value: _T = convert(kind, nodes, report)
    report.add_dependent(check(value), _needed_by)
    report.refuse()
    return value


def _needed_by(field: str) -> str:
    """The field without which a problem between fields says nothing."""
    if found := _WEIGHTS.fullmatch(field):
        return f"{found[1]}.versions"
    return "services" if field.startswith("routes") else ""
