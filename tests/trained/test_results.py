from dataclasses import FrozenInstanceError

import pytest

from places import Category, Prediction

BEST = (
    Category("beach", 48, 0.825),
    Category("lake/natural", 205, 0.1),
    Category("pond", 271, 0.0),
)


def test_an_answer_is_shown_for_people() -> None:
    answer = Prediction("a.jpg", BEST, 0.01, 640, 480)
    assert str(answer) == (
        "a.jpg\n"
        "  beach          82%  ████████████████\n"
        "  lake/natural   10%  ██\n"
        "  pond            0%"
    )
    assert repr(answer) == "Prediction('a.jpg': beach 82%, lake/natural 10%, pond 0%)"
    assert repr(Prediction(None, BEST * 2)).endswith("pond 0%, ...)")
    assert str(Prediction(None, BEST[:1])) == "  beach   82%  ████████████████"


def test_a_failure_is_shown_with_its_reason() -> None:
    answer = Prediction("a.jpg", error="a link to nothing")
    assert str(answer) == "unreadable: a.jpg: a link to nothing"
    assert repr(answer) == "Prediction('a.jpg': error='a link to nothing')"
    assert str(Prediction(None, error="too large")) == "unreadable: too large"


def test_what_is_shown_cannot_move_the_cursor() -> None:
    for answer in (Prediction("\x1b[2J\n", BEST), Prediction("a", error="\x1b[2J\udce9")):
        for shown in (str(answer), repr(answer)):
            assert "\x1b" not in shown
            shown.encode()


def test_results_are_values() -> None:
    answer = Prediction("a.jpg", BEST)
    assert answer == Prediction("a.jpg", BEST)
    assert len({answer, Prediction("a.jpg", BEST)}) == 1
    with pytest.raises(FrozenInstanceError):
        answer.path = "b.jpg"  # type: ignore[misc]  # that is the test
