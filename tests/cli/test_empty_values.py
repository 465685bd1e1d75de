"""Keys that were left empty, in classes of all kinds."""

from typing import TYPE_CHECKING, Any

import pytest

from places.cli.empty_values import refuse_empty
from places.cli.error_messages import Refused

if TYPE_CHECKING:
    from pathlib import Path as Unknown  # only a type checker has it

HERE = __name__


class Outer:
    """Takes null in one place."""

    def __init__(self, width: int, inner: "dict[str, int]", depth: int | None = 3) -> None: ...


class Hinted:
    """Whose annotations nobody can read while it runs."""

    def __init__(self, width: "Unknown") -> None: ...


def make(width: int) -> Outer:
    """Make one: a function, of which nothing is known here."""
    return Outer(width, {})


def _spec(kind: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401  # of any class
    return {"class_path": f"{HERE}.{kind}", "init_args": arguments}


@pytest.mark.parametrize(
    "spec",
    [
        _spec("Outer", width=1, depth=None),
        _spec("Outer", other=None),  # passed on to others
        _spec("Hinted", width=None),
        _spec("make", width=None),
        {"class_path": "nowhere.Net", "init_args": {"width": None}},
        {"class_path": f"{HERE}.Outer"},
    ],
)
def test_null_is_taken_where_a_class_may_mean_it(spec: dict[str, Any]) -> None:
    refuse_empty({"model": {"net": spec}, "other": {"net": spec}}, {"model": Outer})


def test_null_is_refused_by_the_whole_key_with_what_it_takes() -> None:
    nested = _spec("Outer", width=1, inner=_spec("Outer", width=None))
    with pytest.raises(Refused) as caught:
        refuse_empty({"model": _spec("Outer", net=nested)}, {})
    assert caught.value.name == "model.net.inner.width"
    assert caught.value.hints == ["takes:        a whole number"]
    with pytest.raises(Refused) as caught:
        refuse_empty({"trainer": {"inner": None}}, {"trainer": Outer})
    assert caught.value.name == "trainer.inner"
    assert caught.value.hints == ["takes:        dict[str, int]"]
