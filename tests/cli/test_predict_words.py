import json
from pathlib import Path

import pytest
import yaml

from places.cli.predict_words import with_pictures
from places.errors import ConfigError

IMAGE_FILES = "places.data.image_files.ImageFiles"


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
    words = ["predict", "--ckpt_path", "x", "--data.root", "shards"]
    assert with_pictures(words) == words


def test_pictures_in_options_follow_each_other() -> None:
    words = ["predict", "--ckpt_path", "x", "--data=ImageFiles", "--data.images", "photos"]
    assert with_pictures(words) == [*words[:4], '--data.images=["photos"]']
    words += ["--data.images=[b.jpg, c.jpg]", "--data.images+=2024"]
    assert with_pictures(words)[-1] == '--data.images=["photos", "b.jpg", "c.jpg", "2024"]'
    assert f"--data={IMAGE_FILES}" in with_pictures(["predict", "--data.images", "photos"])
    with pytest.raises(ConfigError, match=r"pictures are given twice: a\.jpg") as caught:
        with_pictures([*words, "a.jpg"])
    assert "type all of them as words" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "pictures", "trusted"),
    [
        (["--trust", "nets", "photos"], ["photos"], ["nets"]),
        (["--trust", "nets", "others", "a.jpg"], ["a.jpg"], ["nets", "others"]),
        (["--trust", "nets", "code", "photos"], ["photos"], ["nets", "code"]),
        (["--trust", "nets.sub", "--random_weights", "photos"], ["photos"], ["nets.sub"]),
        (["--trust=nets", "code"], ["code"], ["nets"]),
        *((["--trust", "nets", word], [word], ["nets"]) for word in ("/", ".", "..", "~", "a b")),
    ],
)
def test_an_option_with_several_values_ends_at_a_picture(
    words: list[str], pictures: list[str], trusted: list[str]
) -> None:
    Path("photos").mkdir()
    Path("code").mkdir()
    Path("code/__init__.py").touch()
    got = with_pictures(["predict", *words])
    assert json.loads(got[-1].removeprefix("--data.images=")) == pictures
    place = next(number for number, word in enumerate(got) if word.startswith("--trust"))
    values = [got[place].partition("=")[2]] if "=" in got[place] else []
    for word in got[place + 1 :]:
        if word.startswith("-"):
            break
        values.append(word)
    assert values == trusted


def test_every_name_arrives_as_it_was_typed() -> None:
    names = [
        "\N{CAMERA}.jpg",
        "a\x85b\u2028c\x7f\x1b.jpg",
        "\\ud83d\\ude00",
        "a: [b",
        '"',
        "'",
        "\ufeff",
    ]
    value = with_pictures(["predict", *names])[-1].removeprefix("--data.images=")
    assert json.loads(value) == yaml.safe_load(value) == names


def test_two_dashes_end_the_options() -> None:
    got = with_pictures(["predict", "--random_weights", "--", "--odd.jpg", "-", "a.yaml"])
    assert json.loads(got[-1].removeprefix("--data.images=")) == ["--odd.jpg", "-", "a.yaml"]
    assert "--" not in got


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--ckpt_path", "a.ckpt", "--ckpt_path=b.ckpt"], "--ckpt_path"),
        (["--data.batch_size=2", "p", "--data.batch_size", "3"], "--data.batch_size"),
        (["--trust", "a", "p.jpg", "--trust", "b"], "--trust"),
        (["--model.net=A", "--model.net.depth=1", "--model.net=B"], "--model.net"),
    ],
)
def test_an_option_given_twice_is_refused(words: list[str], flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag} is given twice: "):
        with_pictures(["predict", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "demo", "--config", "overlays/wandb"],
        ["--ckpt_path", "a.ckpt", "--ckpt_path", "a.ckpt"],
        ["--data.a+=A", "--data.a.x=1", "--data.a+=B", "--data.a.x=2"],
    ],
)
def test_what_adds_or_says_the_same_may_be_repeated(words: list[str]) -> None:
    assert with_pictures(["predict", *words]) == ["predict", *words]


def test_signed_urls_are_for_lists_only() -> None:
    with pytest.raises(ConfigError, match=r"https://x\.org/a\.jpg has a query") as caught:
        with_pictures(["predict", "https://x.org/a.jpg?signature=hidden77"])
    assert "hidden77" not in str(caught.value)
    assert "places predict @FILE" in str(caught.value)


def test_pictures_of_a_recipe_are_not_replaced_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("my.yaml").write_text(
        "data:\n  class_path: ImageFiles\n  init_args:\n    images: others\n"
    )
    with_pictures(["predict", "a.jpg", "--config", "my.yaml"])
    assert "the pictures of my.yaml, line 4, are not taken" in capsys.readouterr().err
    with_pictures(["predict", "--config", "my.yaml"])
    assert capsys.readouterr().err == ""
