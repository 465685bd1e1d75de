"""The comment below a pull request: its headline, what is folded, and where it is cut."""

import pytest

from places.config.changes.as_markdown import MARKER, MAX_LETTERS, as_markdown
from places.config.changes.change import Block, Change, Why
from places.config.changes.report import Compared, Report
from places.config.compare import ABSENT
from places.config.groups import Group


def _change(key: str, group: Group, why: Why = "written") -> Change:
    return Change(key, "changed", why, group, 1, 2, "", None)


def _compared(number: int, *groups: Group, num_implied: int = 0) -> Compared:
    # The number keeps recipes from having anything in common.
    rest = tuple(
        _change(f"x.implied{n}.{number}", "results", "implied") for n in range(num_implied)
    )
    blocks = [Block(_change(f"x.{group}.{number}", group), rest) for group in groups]
    return Compared(f"configs/{number}.yaml", "changed", tuple(blocks))


def _markdown(*recipes: Compared, command: str = "") -> str:
    return as_markdown(Report("main", "here", "fit", recipes, command=command))


@pytest.mark.parametrize(
    ("groups", "headline"),
    [
        (("results", "speed"), "results change"),
        (("speed",), "only speed changes"),
        (("speed", "output"), "speed and output change"),
        (("output",), "only output changes"),
        ((), "no setting of what was there changes"),
    ],
)
def test_the_headline_tells_what_changes(groups: tuple[Group, ...], headline: str) -> None:
    assert _markdown(_compared(1, *groups)).splitlines()[:2] == [MARKER, f"### Configs: {headline}"]


def test_without_changes_it_says_so() -> None:
    text = _markdown(Compared("a.yaml", "same"), command="places config diff `a`|\n b")
    assert "### Configs: nothing changes" in text
    assert text.endswith("Again: `places config diff 'a'\\|  b`")
    invalid = Compared("a.yaml", "invalid", problems=((), ("no key `x`",)))
    assert "### Configs: some cannot be resolved" in _markdown(invalid)
    assert "no key 'x'" in _markdown(invalid)


def test_many_sections_and_many_implied_changes_are_folded() -> None:
    text = _markdown(*(_compared(number, "results") for number in range(7)))
    assert text.count("<details>") == text.count("</details>") == 2
    text = _markdown(_compared(1, "results", num_implied=13))
    assert "<details><summary>3 more implied</summary>" in text
    assert text.count("| &nbsp;&nbsp;~ `x.implied") == 13


def test_what_is_too_long_is_cut_where_it_can_be_read_on() -> None:
    text = _markdown(*(_compared(n, "results", num_implied=40) for n in range(60)), command="again")
    assert len(text) <= MAX_LETTERS + 1000
    assert text.count("<details>") == text.count("</details>")
    *_, cut, empty, again = text.splitlines()
    assert cut.startswith("**Cut here: ")
    assert (empty, again) == ("", "Again: `again`")


def test_a_value_that_was_not_there_is_an_empty_cell() -> None:
    change = Change("model.x", "added", "written", "results", ABSENT, "a|b", "", None)
    text = _markdown(Compared("a.yaml", "changed", (Block(change),)))
    assert "| + `model.x` |  | `a\\|b` | **written** |" in text
