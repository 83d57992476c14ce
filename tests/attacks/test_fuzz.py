"""A differential of the proxy's connections and the oracle over whatever comes; bounded."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks.mutations import REQUEST_SEEDS, RESPONSE_SEEDS, cut, mutate
from tests.attacks.target import disagree_on_requests, disagree_on_response
from tests.support.running import LONG_S, Running, config_for, run

NOWHERE = config_for("http://127.0.0.1:1")
EXAMPLES = 1_500
_BOUNDED = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
_RANDOM = st.randoms(use_true_random=False)
_RESPONSE_BYTES = [raw for _, raw in RESPONSE_SEEDS]


def test_requests_mean_the_same_to_both() -> None:
    async def test() -> None:
        async with Running(NOWHERE) as running:

            @_BOUNDED
            @given(st.sampled_from(REQUEST_SEEDS), _RANDOM)
            def differ(seed: bytes, random: Random) -> None:
                pieces = cut(random, mutate(random, seed, REQUEST_SEEDS))
                assert disagree_on_requests(running.plane, pieces) is None, pieces

            differ()

    run(test, LONG_S)


def test_responses_mean_the_same_to_both() -> None:
    async def test() -> None:
        async with Running(NOWHERE) as running:

            @_BOUNDED
            @given(st.sampled_from(RESPONSE_SEEDS), _RANDOM, st.booleans())
            def differ(seed: tuple[str, bytes], random: Random, ends: bool) -> None:
                method, raw = seed
                pieces = cut(random, mutate(random, raw, _RESPONSE_BYTES))
                said = disagree_on_response(running.plane, method, pieces, ends=ends)
                assert said is None, (method, pieces, ends)

            differ()

    run(test, LONG_S)
