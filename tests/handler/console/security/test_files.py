"""Tokens in files: too short ones are refused, and a new one is in force once the file has it."""

import logging
import os
from pathlib import Path

import pytest

from handler.console.security import files
from handler.console.security.files import FileRefused, SecretFile

TOKEN = "x" * 20


def opened(path: Path) -> SecretFile:
    return SecretFile(path, setting="JOBRELAY_UI_TOKEN_FILE", least=20)


def test_white_space_around_a_token_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert opened(tmp_path / "token").content == TOKEN.encode()


@pytest.mark.parametrize(("text", "said"), [("short\n", "holds 5 bytes; 20 or more"), ("x" * 5000, "more than 4096")])
def test_what_is_no_token_is_refused_by_the_name_of_its_setting(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(FileRefused) as caught:
        opened(tmp_path / "token")
    assert str(caught.value).startswith("JOBRELAY_UI_TOKEN_FILE: ")
    assert said in str(caught.value)
    assert text.strip() not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="cannot be read: No such file"):
        opened(tmp_path / "missing")


def test_a_swapped_secret_is_read_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_LOOK_SECONDS", 0.0)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(f"{name}-{TOKEN}")
    # As the kubelet does it: a link that is exchanged.
    (tmp_path / "data").symlink_to("old")
    secret = opened(tmp_path / "data" / "token")
    assert secret.content == f"old-{TOKEN}".encode()
    (tmp_path / "next").symlink_to("new")
    os.replace(tmp_path / "next", tmp_path / "data")
    assert secret.content == f"new-{TOKEN}".encode()
    with caplog.at_level(logging.WARNING):
        (tmp_path / "new" / "token").write_text("short")
        assert secret.content == secret.content == f"new-{TOKEN}".encode()
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
