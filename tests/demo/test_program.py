from __future__ import annotations

import socket

import pytest

from scmn.demo import program
from tests.demo.projects import free_port


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1:8080"),
        (["--port", "70000"], "--port must be 1..65535, not 70000"),
        (["--max-upload", "0"], "--max-upload must be above 0"),
        (
            ["--weights", "missing.pth", "--port", str(free_port())],
            "weights file not found: missing.pth",
        ),
        (["--device", "tpu9", "--port", str(free_port())], "unknown device 'tpu9'"),
    ],
)
def test_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nicegui", reason="the optional extra 'demo' is not installed")
    with pytest.raises(SystemExit) as caught:
        program.main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_used_port_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nicegui", reason="the optional extra 'demo' is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit):
            program.main(["--port", port])
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_missing_nicegui_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        program.main([])
    assert "pip install 'scmn[demo]'" in capsys.readouterr().err
