import json

import pytest

from places.cli.predict_words import with_pictures
from places.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "pictures", "rest"),
    [
        (["photos", "--ckpt_path", "x.ckpt"], ["photos"], ["--ckpt_path", "x.ckpt"]),
        (["--ckpt_path", "x.ckpt", "a.jpg", "b c.jpg"], ["a.jpg", "b c.jpg"], None),
        (["-", "--data.null=true"], ["-"], ["--data.null=true"]),
        (["--random_weights", "a"], ["a"], ["--random_weights"]),
        (["--random_weights", "true", "a"], ["a"], ["--random_weights", "true"]),
        (["a", "--data", "ImageFiles", "b"], ["a", "b"], ["--data", "ImageFiles"]),
        (
            ["caf\udce9.jpg", "2024", "[1].jpg", "@list"],
            ["caf\uefe9.jpg", "2024", "[1].jpg", "@list"],
            [],
        ),
    ],
)
def test_words_that_belong_to_no_option_are_pictures(
    words: list[str], pictures: list[str], rest: list[str] | None
) -> None:
    got = with_pictures(["predict", *words])
    assert json.loads(got[-1].removeprefix("--data.images=")) == pictures
    assert ("--data" in got) != any(word.startswith("--data=") for word in got)
    for word in rest or []:
        assert word in got


def test_without_pictures_nothing_changes() -> None:
    words = ["predict", "--ckpt_path", "x", "--data=ImageFiles", "--data.images", "photos"]
    assert with_pictures(words) == words
    with pytest.raises(ConfigError, match=r"pictures are given twice: a\.jpg"):
        with_pictures([*words, "a.jpg"])
