"""Names that are stored: these literal values must never change."""

import base64
import hashlib
import re

from hypothesis import given, strategies as st

from events.identity import (
    Identity,
    command_hash,
    job_name,
    lifecycle_key,
    netstrings,
    request_label,
    request_sha,
    run_name,
    topic_part,
)
from events.phases import Phase
from tests.events.samples import make_event

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_job_name_is_what_it_was_in_the_first_version() -> None:
    assert job_name("mail", Identity("/shop", "order-1")) == "mail-lsihpqwkfn3r"
    assert job_name("mail", Identity("/shop", "order-1", "thumbnail")) == "mail-nsnqbf4l7dns"


def test_name_of_a_run_that_is_asked_for_is_what_it_was_in_the_first_version() -> None:
    assert run_name("mail-lsihpqwkfn3r", command_hash("/ops", "c1")) == "mail-lsihpqwkfn3r-hu76nvzpaug6"
    # With the longest name of a schedule it is short enough for the number of an attempt.
    assert len(run_name("x" * 45, command_hash("/ops", "c1"))) == 58


def test_label_and_hash_are_what_they_were_in_the_first_version() -> None:
    assert request_label("order-1") == "box6eikw2juyyfb3qycairwtm3vnqy52magvzesphuk4pbxpiblq"
    assert (
        request_sha(make_event({"b": 1, "a": 2})) == "d3626ac30a87e6f7a6428233b3c68299976865fa5508e4267c5415c76af7a772"
    )


def test_parts_of_an_identity_are_kept_apart() -> None:
    assert netstrings("a", "bc") == b"1:a2:bc"
    assert netstrings("ü") == b"2:\xc3\xbc"
    assert Identity("a", "bc").digest() != Identity("ab", "c").digest()
    assert Identity("a", "b", "").digest() != Identity("a", "", "b").digest()


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_different_parts_never_give_the_same_bytes(left: list[str], right: list[str]) -> None:
    assert (netstrings(*left) == netstrings(*right)) is (left == right)


@given(texts, texts, st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True))
def test_job_name_is_always_valid_in_kubernetes(source: str, request_id: str, prefix: str) -> None:
    name = job_name(prefix, Identity(source, request_id))
    assert len(name) <= 45
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)


@given(texts, texts)
def test_hashes_are_in_the_base32_of_the_standard(source: str, request_id: str) -> None:
    def base32(data: bytes) -> str:
        return base64.b32encode(hashlib.sha256(data).digest()).decode().rstrip("=").lower()

    assert request_label(request_id) == base32(request_id.encode())
    assert job_name("x", Identity(source, request_id)) == f"x-{base32(netstrings(source, request_id, ''))[:12]}"


@given(texts)
def test_request_label_is_always_a_valid_label_value(request_id: str) -> None:
    assert re.fullmatch(r"[a-z2-7]{52}", request_label(request_id))


def test_data_that_differs_only_in_form_has_one_hash() -> None:
    assert request_sha(make_event({"a": 1, "b": 2})) == request_sha(make_event({"b": 2, "a": 1}))
    assert request_sha(make_event({"a": 1})) != request_sha(make_event({"a": "1"}))


def test_topic_parts_hold_no_character_that_has_a_meaning_in_topics() -> None:
    assert topic_part("Order_1-x") == "Order_1-x"
    assert topic_part("a.b*c>d e~f%ü") == "a%2Eb%2Ac%3Ed%20e%7Ef%25%C3%BC"
    assert topic_part(None) == topic_part("") == "_"


def test_long_topic_part_is_hashed() -> None:
    assert topic_part("x" * 100) == "x" * 100
    assert topic_part("x" * 101) == "~" + request_label("x" * 101)
    assert topic_part("." * 34) == "~" + request_label("." * 34)


@given(texts)
def test_topic_part_is_short_and_safe(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_%-]{1,100}|~[a-z2-7]{52}", topic_part(text))


@given(texts.filter(bool), texts.filter(bool))
def test_different_texts_have_different_topic_parts(left: str, right: str) -> None:
    assert (topic_part(left) == topic_part(right)) is (left == right)


def test_lifecycle_key_has_three_parts() -> None:
    assert lifecycle_key("mail", "a.b", Phase.FAILED) == "mail.a%2Eb.failed"
    assert lifecycle_key(None, "1", Phase.CREATED) == "_.1.created"
