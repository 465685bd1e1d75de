import io
import logging
import re
import sys
import time

import pytest

from places.console import (
    FirstFew,
    counted,
    printable,
    progress,
    rate_in_words,
    show,
    show_warnings,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_of_text_when_not_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with progress("train", 100 * 10**6) as counter:
        counter.advance(10**6)
        assert capsys.readouterr().err == ""
        now_s = 29.0
        counter.advance(0)
        assert capsys.readouterr().err == ""
        now_s = 50.0
        counter.expect(100 * 10**6)
        counter.advance(99 * 10**6)
        counter.advance(1)
    assert capsys.readouterr().err == "train: 50%, 2 MB/s, 50 s left\n"


@pytest.mark.parametrize(
    ("done", "total", "after_s", "line"),
    [
        (0, 40, 60, "draw: 0%"),
        (1, 40, 60, "draw: 2%, 1 pictures/min, 39 min left"),
        (30, 40, 60, "draw: 75%, 0.5 pictures/s, 20 s left"),
        (40, 40, 40, "draw: 100%, 1.0 pictures/s, 0 s left"),
        (9000, 10**8, 45, "draw: 0%, 200.0 pictures/s, 138 h 53 min left"),
        (9, 0, 45, "draw: 0.2 pictures/s"),
    ],
)
def test_numbers_say_something_however_slow_it_is(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    done: int,
    total: int,
    after_s: float,
    line: str,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with progress("draw", total, "pictures") as counter:
        now_s = after_s
        counter.advance(done)
    assert capsys.readouterr().err == f"{line}\n"


def test_rates_of_bytes() -> None:
    rates = [rate_in_words(per_s, "bytes") for per_s in (0, 1500, 999_000, 1.6e6, 1.2e9)]
    assert rates == ["", "2 kB/s", "999 kB/s", "2 MB/s", "1,200 MB/s"]


def test_no_color_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for value in ("", "1"):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("NO_COLOR", value)
        with progress("train", 2, "pictures") as counter:
            counter.advance(1)
        shown[value] = re.findall(r"\x1b\[[\d;]*3\d[\d;]*m", terminal.getvalue())
    assert shown[""]
    assert not shown["1"]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("train", 10**6) as counter:
        counter.expect(10**6)
        counter.advance(10**6)
    assert "train" in terminal.getvalue()
    assert "50%" in terminal.getvalue() or "MB" in terminal.getvalue()


def test_pictures_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("drawing", 40, "pictures") as counter:
        counter.advance(10)
        time.sleep(0.02)
        counter.advance(10)
    assert "drawing" in terminal.getvalue()
    assert "40" in terminal.getvalue()
    assert re.search(r"\d pictures/s", terminal.getvalue())


def test_the_first_few_and_how_many_more() -> None:
    few = FirstFew(max_shown=2)
    assert str(few) == ""
    for name in ("a", "b", "c"):
        few.add(name)
    assert str(few) == "a, b and 1 more"
    assert (few.count, few.shown, few.more) == (3, ["a", "b"], "and 1 more")


def test_what_the_library_warns_of_is_shown_like_all_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        show_warnings()
    logging.getLogger("places.data").warning("skipped sample %d", 5)
    logging.getLogger("places.data").info("not for people")
    assert capsys.readouterr().err == "places: skipped sample 5\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("église 🏠", "église 🏠"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\udcffb\udce9", r"a\xffb\xe9"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\x9b2J\u2028", r"\x9b2J\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_from_outside_is_made_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_nothing_but_lines_of_text_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show("places: error: no \x1b]0;x\x07 here\n  look:  \udcff")
    assert capsys.readouterr().err == "places: error: no \\x1b]0;x\\x07 here\n  look:  \\xff\n"


@pytest.mark.parametrize(
    ("num", "words", "shown"),
    [
        (0, ("picture",), "0 pictures"),
        (1, ("picture",), "1 picture"),
        (1200, ("row",), "1,200 rows"),
        (1, ("class", "classes"), "1 class"),
        (2, ("class", "classes"), "2 classes"),
    ],
)
def test_one_is_not_called_as_several(num: int, words: tuple[str, ...], shown: str) -> None:
    assert counted(num, *words) == shown
