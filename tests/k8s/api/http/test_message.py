"""What a request looks like, and what can be no part of one."""

import pytest
from hypothesis import given, strategies as st

from k8s.api.http.message import Answer, Heads, Unsendable, request

HEADS = Heads(host="k8s.example:6443", user_agent="jobrelay")


def test_a_request_says_no_more_than_it_needs() -> None:
    fields = HEADS.fields("application/json", "", "Bearer t")
    assert request("GET", "/api?a=b", fields, None) == (
        b"GET /api?a=b HTTP/1.1\r\nHost: k8s.example:6443\r\nUser-Agent: jobrelay\r\nAccept-Encoding: identity\r\n"
        b"Accept: application/json\r\nAuthorization: Bearer t\r\n\r\n"
    )


def test_a_body_has_its_type_and_its_length() -> None:
    fields = HEADS.fields("application/json", "application/merge-patch+json", "")
    head, _, body = request("PATCH", "/api", fields, b"{}").partition(b"\r\n\r\n")
    assert head.endswith(
        b"\r\nAccept: application/json\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 2"
    )
    assert body == b"{}"
    assert b"\r\nContent-Length: 0\r\n\r\n" in request("DELETE", "/api", fields, None)


def test_headers_follow_the_credentials() -> None:
    heads = Heads(host="h", user_agent="u")
    for number in range(200):
        assert f"Authorization: Bearer {number}\r\n".encode() in heads.fields("a", "", f"Bearer {number}")
    assert heads.fields("a", "", "Bearer 1") == heads.fields("a", "", "Bearer 1")


@given(st.text(max_size=30))
def test_no_path_adds_a_header_or_a_request(path: str) -> None:
    try:
        sent = request("GET", f"/{path}", b"Host: h\r\n", None)
    except Unsendable:
        return
    line, *rest = sent.split(b"\r\n")
    assert line == b"GET /%b HTTP/1.1" % path.encode()
    assert line.count(b" ") == 2
    assert rest == [b"Host: h", b"", b""]


@pytest.mark.parametrize("text", ["a b", "a\r\nb", "a\nb", "a\x00b", "a\tb", "\x7f", "é", "\x85", "\u2028"])
def test_such_a_path_is_not_sent(text: str) -> None:
    with pytest.raises(Unsendable, match="path"):
        request("GET", f"/{text}", b"", None)


@pytest.mark.parametrize("text", ["a\r\nX-B: c", "a\nb", "a\rb", "a\x00b", "a\x7f", "a€"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_such_a_header_is_not_sent_and_its_value_not_repeated(text: str, place: int) -> None:
    values = ["accept", "type", "secret"]
    values[place] += text
    with pytest.raises(Unsendable, match=r"the value of the header (Accept|Content-Type|Authorization) has") as caught:
        HEADS.fields(*values)
    assert values[place] not in str(caught.value)


def test_headers_of_an_answer_are_found_by_names_in_lower_case() -> None:
    answer = Answer(200, {b"date": b"now", b"x-a": b"\xe9"}, b"")
    assert (answer.header(b"date"), answer.header(b"x-b")) == ("now", "")
    assert answer.headers() == {"date": "now", "x-a": "é"}
