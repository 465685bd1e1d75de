"""`places export`: what it wrote answers as the checkpoint does, everywhere that reads it."""

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tests.data.drawn import drawn_picture
from tests.integration.stages import fit_in, run
from tests.networks import Tiny

import places
from places.categories import load_categories
from places.cli.main import main
from places.models.folded import folded

FILES = {"safetensors": "net.safetensors", "onnx": "net.onnx", "torch": "net.pt2"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--model.mean", "[0.4,0.5,0.6]"]
    folder = fit_in(tmp_path_factory.mktemp("run"), *words)
    return folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint in each form, and in 8 bits."""
    folder = tmp_path_factory.mktemp("exported")
    files = {form: folder / name for form, name in FILES.items()}
    for form, file in files.items():
        assert export(checkpoint, "--format", form, "--file", file) == 0
    files["int8"] = folder / "int8.onnx"
    words = ["--format", "onnx", "--precision", "int8", "--file", files["int8"]]
    assert export(checkpoint, *words) == 0
    return files


def export(checkpoint: Path, *words: object) -> int:
    return main(["export", "--ckpt_path", str(checkpoint), "--trust", "tests", *map(str, words)])


def pictures(folder: Path, num: int = 5) -> list[Path]:
    folder.mkdir()
    for number in range(num):
        Image.Image.save(drawn_picture(50 + number, 60, number), folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("form", [*FILES, "int8"])
def test_places_load_answers_as_the_checkpoint_does(
    form: str, checkpoint: Path, exported: dict[str, Path]
) -> None:
    before = places.load(checkpoint, trust="tests")
    after = places.load(exported[form], trust="tests")
    assert after.categories == load_categories()
    assert after.crop == before.crop
    paths = pictures(Path("photos"))
    tolerance = 1e-2 if form == "int8" else 1e-6
    for old, new in zip(before.predict(paths), after.predict(paths), strict=True):
        chances = {category.name: category.probability for category in old.categories}
        for category in new.categories:
            if category.name in chances:
                assert abs(category.probability - chances[category.name]) < tolerance
        if form != "int8":
            assert [x.name for x in new.categories] == [x.name for x in old.categories]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "form", ["onnx", *(pytest.param(x, marks=SLOW) for x in FILES if x != "onnx")]
)
def test_places_predict_answers_as_the_checkpoint_does(
    form: str, checkpoint: Path, exported: dict[str, Path]
) -> None:
    pictures(Path("photos"), 3)
    tables = []
    for name, file in (("a.csv", checkpoint), ("b.csv", exported[form])):
        words = ["photos", "--ckpt_path", file, "--predictions.file", name]
        assert run("predict", *words, "--predictions.gallery", "false") == 0
        with Path(name).open(newline="", encoding="utf-8") as table:
            tables.append(list(csv.DictReader(table)))
    for old, new in zip(*tables, strict=True):
        assert old["category_1"] == new["category_1"]
        assert abs(float(old["probability_1"]) - float(new["probability_1"])) < 1e-5


def test_places_test_scores_as_the_checkpoint_does(
    checkpoint: Path, exported: dict[str, Path], sample: Path
) -> None:
    scores = []
    for number, file in enumerate((checkpoint, exported["onnx"])):
        words = ["--ckpt_path", file, "--data.root", sample, "--data.batch_size", 16]
        assert run("test", *words, "--trainer.default_root_dir", f"runs{number}") == 0
        (result,) = Path(f"runs{number}").rglob("result.json")
        scores.append(json.loads(result.read_text(encoding="utf-8"))["scores"])
    for name, value in scores[0].items():
        if isinstance(value, float):
            assert abs(value - scores[1][name]) < 1e-5


def test_preprocessing_and_names_travel_inside(exported: dict[str, Path]) -> None:
    with safe_open(exported["safetensors"], "pt") as file:
        told = json.loads(file.metadata()["places"])
    assert told["mean"] == [0.4, 0.5, 0.6]
    assert (told["image_size"], told["resize_size"]) == (32, 36)
    assert told["categories"] == list(load_categories())
    assert told["net"]["class_path"] == "tests.networks.Tiny"
    (prop,) = onnx.load(exported["onnx"]).metadata_props
    assert (prop.key, json.loads(prop.value)) == ("places", told)


def test_others_run_what_was_written_on_any_number_of_pictures(
    checkpoint: Path, exported: dict[str, Path]
) -> None:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    net = Tiny(365).eval()
    net.load_state_dict({key[4:]: x for key, x in state.items() if key.startswith("net.")})
    session = onnxruntime.InferenceSession(exported["onnx"])
    program = torch.export.load(exported["torch"]).module()
    graph = onnx.load(exported["onnx"]).graph
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]
    for num in (1, 3, 8):
        images = torch.randn(num, 3, 32, 32)
        expected = net(images).detach()
        (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(program(images).detach(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded(net)(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_eight_bits_are_measured(
    checkpoint: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--format", "onnx", "--precision", "int8", "--file", "net.onnx", "--root", sample]
    assert export(checkpoint, *words) == 0
    told = capsys.readouterr().out
    assert f"calibrated on 96 pictures of the split train in {sample}" in told
    assert f"compared on 36 pictures of the split val in {sample}" in told
    assert "gain: " in told
    assert "loss: top-1 " in told
    types = {node.op_type for node in onnx.load("net.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= types


def test_the_comparison_says_on_which_pictures(
    checkpoint: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(checkpoint, "--file", "a.safetensors") == 0
    assert f"compared on 36 pictures of the split val in {sample}" in capsys.readouterr().out
    pictures(Path("photos"), 4)
    assert export(checkpoint, "--file", "a.safetensors", "--images", "photos") == 0
    told, said = capsys.readouterr()
    assert ".partial" not in said  # the name under which it is written is nobody's business
    assert "compared on 4 pictures of photos" in told
    assert "largest difference of a logit: 0, 0.0e+00 of the largest (0.0001 allowed)" in told
    assert "same best category: 4 of 4 (100.0 %)" in told


def test_what_differs_is_not_kept(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_bytes(b"before")
    assert export(checkpoint, "--format", "onnx", "--file", "net.onnx", "--tolerance", 1e-12) == 1
    assert Path("net.onnx").read_bytes() == b"before"
    assert [x.name for x in Path().iterdir()] == ["net.onnx"]
    out = capsys.readouterr()
    assert "no file is written" in out.err
    assert "1e-12 allowed" in out.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no file to write\n  name it:  --file network.safetensors"),
        (["--format", "onnx", "--file", "x.bin"], "name it:  --file x.onnx"),
        (["--file", "x.safetensors", "--precision", "int8"], "--format onnx --precision int8"),
        (["--format", "tflite", "--file", "x"], "safetensors"),
        (
            ["--file", "x.safetensors", "--images", "none"],
            "images must be a folder of pictures, not none",
        ),
        (
            ["--file", "x.safetensors", "--num_pictures", "0"],
            "num_pictures must be 1 or more, not 0",
        ),
        (["--file", "x.onnx", "--format", "onnx", "--tolerance", "-1"], "tolerance must be 0 or"),
    ],
)
def test_mistakes_are_answered_with_what_to_type(
    words: list[str], message: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(checkpoint, *words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) <= 4
    assert not list(Path().glob("x*"))


def test_no_network_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--file", "x.safetensors"]) == 2
    assert "give one:  --ckpt_path" in capsys.readouterr().err


def test_an_onnx_file_of_others_is_refused(
    exported: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(exported["onnx"])
    del model.metadata_props[:]
    onnx.save(model, "other.onnx")
    with pytest.raises(places.errors.CheckpointError, match="does not say how pictures"):
        places.load("other.onnx")
    for tensor in model.graph.initializer:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        tensor.ClearField("raw_data")
    Path("other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(places.errors.CheckpointError, match="weights are in another file"):
        places.load("other.onnx")
    Path("other.onnx").write_bytes(exported["onnx"].read_bytes()[:1000])
    with pytest.raises(places.errors.CheckpointError, match="no program of ONNX"):
        places.load("other.onnx")
