from pathlib import Path

import pytest
from tests.models.caffe.networks import vgg
from tests.models.caffe.writer import caffemodel

from places.cli.weights_words import with_mean_of_weights
from places.models.caffe.weights import PLACES365_MEAN

MEAN = [value / 255 for value in PLACES365_MEAN[::-1]]


@pytest.mark.parametrize(
    "words", [["--model.weights", "net.caffemodel"], ["--model.weights=net.caffemodel"]]
)
def test_weights_of_caffe_bring_their_mean(words: list[str]) -> None:
    Path("net.caffemodel").write_bytes(caffemodel(vgg()))
    stage, flag, *rest = with_mean_of_weights(["predict", "a.jpg", *words])
    assert (stage, rest) == ("predict", ["a.jpg", *words])
    name, _, value = flag.partition("=")
    assert name == "--model.mean"
    assert [float(x) for x in value.strip("[]").split(",")] == pytest.approx(MEAN)
    asked = ["predict", *words, "--model.mean", "[0,0,0]"]
    assert with_mean_of_weights(asked) == asked


@pytest.mark.parametrize("words", [[], ["fit"], ["fit", "--model.weights", "net.pth"]])
def test_other_words_stay(words: list[str]) -> None:
    assert with_mean_of_weights(words) == words
