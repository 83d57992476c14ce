"""Owns which finder a source has. The only place that knows them all."""

import random

from proxy.discovery.finder import Finder
from proxy.discovery.listed import FileFinder, OpenWatch
from proxy.model.config import Discovery as Settings
from proxy.model.source import parse_source


def make_finder(url: str, settings: Settings, open_watch: OpenWatch) -> Finder:
    """The finder of a source.

    Args:
        url: see ``proxy.model.source``.

    Raises:
        ValueError: it is no source.
    """
    source = parse_source(url)
    if source is None:
        raise ValueError(f"{url} is no source")
    # Imported only where it is asked for: a sidecar pays for what it uses.
    match source.kind:
        case "dns" | "dns+srv":
            from proxy.discovery.names import DnsFinder

            return DnsFinder(source, settings, random.random)
        case "file":
            return FileFinder(source.name, open_watch)
        case "kubernetes":
            from proxy.discovery.kubernetes import ApiServer, KubernetesFinder

            return KubernetesFinder(source, ApiServer(), random.random)
        case "cloudmap":
            from proxy.discovery.cloudmap import CloudMapFinder

            return CloudMapFinder(source, random.random)
