import io
import sys
import time

import pytest

from places.console import ByteProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_of_text_when_not_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with ByteProgress("train", 100 * 10**6) as progress:
        progress.advance(10**6)
        assert capsys.readouterr().err == ""
        now_s = 20.0
        progress.expect(100 * 10**6)
        progress.advance(99 * 10**6)
        progress.advance(1)
    assert capsys.readouterr().err == "train: 50%, 5 MB/s, 20 s left\n"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ByteProgress("train", 10**6) as progress:
        progress.expect(10**6)
        progress.advance(10**6)
    assert "train" in terminal.getvalue()
    assert "50%" in terminal.getvalue() or "MB" in terminal.getvalue()
