"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`name`: what audits and events call them (extension `actor`). `operator`: may act; else only look.

    `session`: what tokens against forged requests are bound to. `bearer`: whether a token in the header says who it is:
    browsers never add that by themselves, so it needs no further proof. `ends`: when they have to show again who they
    are, in epoch seconds; None where every request shows it.
    """

    name: str
    operator: bool
    session: str = ""
    bearer: bool = False
    ends: float | None = None
