"""Without Docker the command says so."""

from pathlib import Path

import pytest

from tests.containers import main


def test_without_docker_nothing_is_run_and_the_reason_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    proof = tmp_path / "was-run"
    assert main(["touch", str(proof)]) == 1
    assert not proof.exists()
    assert "Docker does not answer" in capsys.readouterr().err
