import pytest

from places.errors import DataError, PlacesError, StorageError, with_prefix


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("--data.", "data.size 7 of data/my_size is wrong\n  type:  --data.size 8"),
        ("--", "size 7 of data/my_size is wrong\n  type:  --size 8"),
    ],
)
def test_a_command_line_shows_its_own_names_of_arguments(prefix: str, expected: str) -> None:
    error = StorageError("`size` 7 of data/my_size is wrong", "type:  `size` 8")
    shown = with_prefix(error, prefix, ["size"])
    assert str(shown) == expected
    assert type(shown) is StorageError


def test_an_error_without_arguments_stays_as_it_is() -> None:
    error = DataError("`devices` should be an int", "see `size_bytes` of `a size`")
    assert str(with_prefix(error, "--data.", ["root", "size"])) == str(error)


def test_an_option_that_switches_off_is_named_too() -> None:
    error = PlacesError("wrong sum", "go on:  `no_md5`")
    assert str(with_prefix(error, "--", ["md5"])) == "wrong sum\n  go on:  --no_md5"
