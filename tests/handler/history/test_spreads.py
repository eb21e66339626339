"""How seconds are spread, in buckets."""

import random
from collections import Counter

import pytest

from handler.history.spreads import added, bucket_of, quantile


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0, 1e7])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_is_known_to_a_fifth_of_itself(scale: float, share: float) -> None:
    chance = random.Random(7)
    seconds = sorted(chance.lognormvariate(0.0, 1.5) * scale for _ in range(2000))
    found = quantile(Counter(map(bucket_of, seconds)), share)
    assert found == pytest.approx(seconds[int(share * len(seconds))], rel=0.1)


def test_spreads_that_are_added_are_those_of_all() -> None:
    one, other = [0.0, 0.5, 3.0], [3.1, 86400.0, 0.0]
    together = added(Counter(map(bucket_of, one)), Counter(map(bucket_of, other)))
    assert together == Counter(map(bucket_of, one + other))


def test_none_have_no_quantile_and_nothing_takes_no_time() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({bucket_of(0.0): 3}, 0.95) == 0.0
    assert bucket_of(1e-9) == bucket_of(-1.0) == bucket_of(0.0)
