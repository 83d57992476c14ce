"""Owns ``splitway explain`` on a file: what a proxy that runs on it would decide, without one."""

import time
from collections.abc import Iterable
from functools import partial
from random import randrange
from secrets import token_urlsafe

from proxy.core.forwarded import TrustedProxies
from proxy.core.question import question_of
from proxy.core.router import compile_router, explain
from proxy.core.slot import SLOTS
from proxy.model.config import Config, Endpoint, traffic_of
from proxy.model.found import sources_of
from proxy.model.wire import Snapshot


def explain_by(config: Config, described: Iterable[tuple[str, str]]) -> dict[str, object]:
    """What a proxy would answer to ``GET /explain``. Sources of endpoints are not asked: they stand
    for what they would find.

    Args:
        described: see ``proxy.core.question``.

    Raises:
        ParameterError: see ``question_of``.
        ConfigError: the routes cannot be compiled.
    """
    question = question_of(described)
    traffic = traffic_of(config)
    router = compile_router(
        Snapshot(revision=0, traffic=traffic),
        TrustedProxies(config.trusted_proxies),
        draw_slot=partial(randrange, SLOTS),
        new_id=partial(token_urlsafe, 16),
        clock=time.time,
        ambiguous_paths=config.ambiguous_paths,
        found={url: (Endpoint(url),) for url in sources_of(traffic)},
    )
    return explain(router, question, question.client)
