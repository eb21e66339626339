"""Five wrong tokens a minute from an address, whatever others try, in bounded memory."""

from handler.console.security.tries import Tries

MOST = 5


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_five_tries_an_address_waits_until_the_first_is_a_minute_ago() -> None:
    clock = Clock()
    tries = Tries(clock, most=MOST)
    for _ in range(MOST):
        assert tries.wait("10.0.0.1") == 0
        tries.failed("10.0.0.1")
        clock.now += 1
    assert tries.wait("10.0.0.1") == 56
    assert tries.wait("10.0.0.2") == 0
    clock.now += 55
    assert tries.wait("10.0.0.1") == 0
    tries.failed("10.0.0.1")
    assert tries.wait("10.0.0.1") == 2


def test_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    tries = Tries(Clock(), most=MOST)
    for number in range(MOST):
        tries.failed(f"2001:db8::{number}")
    assert tries.wait("2001:db8::ffff") > 0
    assert tries.wait("2001:db8:0:1::1") == 0


def test_who_tried_last_is_forgotten_last() -> None:
    tries = Tries(Clock(), most=MOST)
    for number in range(10_000):
        tries.failed(f"10.0.{number >> 8}.{number & 255}")
    for _ in range(MOST - 1):
        tries.failed("10.0.0.0")
    tries.failed("192.0.2.1")
    assert len(tries._failed) == 10_000
    assert tries.wait("10.0.0.0") > 0
