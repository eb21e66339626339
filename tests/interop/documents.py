"""JSON as anybody may write it, as hypothesis strategies of text: long numbers, escapes, spaces, keys that repeat."""

import json

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

spaces = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n  "])
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
characters = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def _quoted(text: str, form: int) -> str:
    plain = json.dumps(text, ensure_ascii=form == 1)
    return plain.replace("/", "\\/") if form == 2 else plain


strings = st.builds(_quoted, characters, st.integers(0, 2))


def _joined(items: list[str], space: str, ends: str) -> str:
    return ends[0] + space + f"{space},".join(items) + space + ends[1]


def _containers(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    members = st.builds("{}{}:{}{}".format, strings, spaces, spaces, inner)
    lists = st.builds(_joined, st.lists(inner, max_size=4), spaces, st.just("[]"))
    return lists | st.builds(_joined, st.lists(members, max_size=4), spaces, st.just("{}"))


documents = st.recursive(
    numbers | strings | st.sampled_from(["null", "true", "false", "{}", "[]"]), _containers, max_leaves=12
)
"""The text of a JSON value, without spaces around it."""
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cn"]), max_size=20)
"""Of an extension."""
times = st.from_regex(
    r"20[0-9]{2}-0[1-9]-[012][1-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]0[0-9]:[0-5]0)", fullmatch=True
)
