"""What data are by their media type: JSON, text in a charset, or bytes. Reads no JSON."""

import codecs
import re

_TEXTS = frozenset(
    f"application/{subtype}"
    for subtype in (
        *("xml", "xhtml", "xml-dtd", "xml-external-parsed-entity", "soap", "rtf", "csv", "sql", "graphql", "toml"),
        *("yaml", "x-yaml", "javascript", "ecmascript", "x-javascript", "x-sh", "x-www-form-urlencoded", "x-ndjson"),
        *("ndjson", "jsonl", "jsonlines", "x-jsonlines", "json-seq", "n-quads", "n-triples", "sdp", "edifact"),
    )
)
_TEXT_SUFFIXES = ("+xml", "+yaml", "+text", "+json-seq")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
# Python's names of the charsets that texts have. It knows others, some of which take a time that grows with the square.
_CHARSETS = re.compile(
    r"ascii|utf-8|utf-16(-[bl]e)?|utf-32(-[bl]e)?|iso8859-\d+|cp(125\d|437|85\d|86\d|866|874|932|949|950)|koi8-[rut]"
    r"|mac-\w+|shift_jis\w*|euc_\w+|iso2022_\w+|gb2312|gbk|gb18030|hz|big5\w*|johab|tis-620"
)
_UTF8 = frozenset({"utf-8", "ascii"})


def media_type(content_type: str) -> str:
    """Type and subtype, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str | None) -> bool:
    """Whether the media type is JSON: `application/json`, `text/json`, `anything+json`, and none, the default."""
    if not content_type:
        return True
    subtype = media_type(content_type).partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def is_text(content_type: str | None) -> bool:
    """Whether the media type is one of text: `text/…`, XML, YAML, forms and the like, anything with a charset."""
    if not content_type:
        return False
    found = media_type(content_type)
    return (
        found.startswith("text/")
        or found in _TEXTS
        or found.endswith(_TEXT_SUFFIXES)
        or charset(content_type) is not None
    )


def as_text(data: bytes, content_type: str | None) -> str:
    """The text, in the charset of the media type, by default UTF-8. Raises `ValueError`, which says what it is not."""
    name = charset(content_type) or "utf-8"
    known = _python_name(name)
    if known is None:
        raise ValueError("in a charset that is not known")
    try:
        return data.decode(known)
    except UnicodeError as error:
        raise ValueError(f"not {name.upper()}") from error


def charset(content_type: str | None) -> str | None:
    """What the parameter `charset` says; None without it."""
    found = _CHARSET.search(content_type or "")
    return found[1] if found else None


def foreign_charset(content_type: str) -> str | None:
    """What is wrong with its charset for what has to be UTF-8, such as JSON; None: nothing is."""
    name = charset(content_type)
    known = _python_name(name) if name else "utf-8"
    if known in _UTF8:
        return None
    return f"charset {name} is not supported, only UTF-8" if known else "its charset is not known: only UTF-8 is"


def _python_name(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if _CHARSETS.fullmatch(found) else None
