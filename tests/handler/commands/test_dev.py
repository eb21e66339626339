"""What `jobrelay dev` tells people who go on in another shell."""

import sys
from pathlib import Path

import pytest

from handler.commands.dev import programs_to_add

OURS = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("path", "environ", "told"),
    [
        (str(OURS), {}, None),
        (f"/nowhere:{OURS}", {}, None),
        ("/nowhere", {}, OURS),
        (str(OURS), {"UV": "/usr/bin/uv"}, OURS),
    ],
    ids=["activated", "further down", "not on PATH", "by uvx, for itself"],
)
def test_where_jobrelay_is_is_said_if_another_shell_would_not_find_it(
    monkeypatch: pytest.MonkeyPatch, path: str, environ: dict[str, str], told: Path | None
) -> None:
    monkeypatch.delenv("UV", raising=False)
    for name, value in {"PATH": path, **environ}.items():
        monkeypatch.setenv(name, value)
    assert programs_to_add() == told


def test_a_link_in_a_directory_on_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "jobrelay").symlink_to(OURS / "jobrelay")
    assert programs_to_add() is None
