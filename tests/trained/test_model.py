import errno
import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image, ImageSequence
from tests.data.drawn import drawn_picture
from tests.integration.stages import run
from tests.trained.programs import alone
from tests.trained.reference import chances_of, net_in, prepared
from torch import nn

import places
from places.categories import load_categories, load_settings
from places.classifier import SceneClassifier
from places.errors import CheckpointError, ConfigError, DataError, StorageError


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What closes files at the end of a test."""
    with ExitStack() as files:
        yield files


INDOOR = torch.tensor([setting == "indoor" for setting in load_settings()])


@pytest.fixture(scope="module")
def model(run_folder: Path) -> places.TrainedModel:
    return places.load(run_folder, device="cpu")


@pytest.fixture(scope="module")
def net(run_folder: Path) -> nn.Module:
    return net_in(run_folder / "checkpoints" / "best.ckpt")


def chances(answer: places.Prediction) -> torch.Tensor:
    """Return the probabilities of all categories in the order of the labels."""
    by_label = sorted(answer.categories, key=lambda category: category.label)
    assert len(by_label) == 365
    return torch.tensor([category.probability for category in by_label])


def test_answers_equal_those_of_pillow_and_torchvision(
    model: places.TrainedModel, net: nn.Module, photos: list[Path]
) -> None:
    # Of 8 bits and opaque: for these Pillow alone says what is right.
    plain = [path for path in photos if path.name[:2] in ("00", "01", "05", "06", "07", "09", "10")]
    answers = model.predict(plain, top_k=365, exact=True)
    for path, answer in zip(plain, answers, strict=True):
        expected = chances_of(net, path)
        assert float((chances(answer) - expected).abs().max()) < 1e-6
        assert answer.indoor == pytest.approx(float(expected[INDOOR].sum()), abs=1e-5)
        best = [int(label) for label in expected.topk(5).indices]
        assert [category.label for category in answer.categories[:5]] == best
        names = [load_categories()[label] for label in best]
        assert [category.name for category in answer.categories[:5]] == names
        assert answer.path == str(path)
        assert answer.error == ""
    assert [(a.width, a.height) for a in answers[:2]] == [(120, 90), (90, 120)]
    assert (answers[-1].width, answers[-1].height) == (1000, 700)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_answers_equal_those_of_the_command_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch,
    run_folder: Path,
    model: places.TrainedModel,
    photos: list[Path],
    batch_size: int,
) -> None:
    seen: list[tuple[dict[str, Any], Mapping[str, Any]]] = []
    step = SceneClassifier.predict_step

    def watched(self: SceneClassifier, batch: Mapping[str, Any], batch_idx: int) -> Any:  # noqa: ANN401  # as it is
        answer = step(self, batch, batch_idx)
        seen.append((answer, batch))
        return answer

    monkeypatch.setattr(SceneClassifier, "predict_step", watched)
    words = ["--ckpt_path", run_folder, "--data.batch_size", batch_size]
    assert run("predict", photos[0].parent, *words) == 1
    answers = iter(model.predict(photos, batch_size=batch_size))
    assert sum(bool(key) for _, batch in seen for key in batch["key"]) == len(photos)
    for answer, batch in seen:
        for row, key in enumerate(batch["key"]):
            if not key:
                continue
            found = next(answers)
            assert (found.path, found.error) == (key, batch["error"][row])
            if not found.error:
                best = answer["label"][row].tolist(), answer["probability"][row].tolist()
                assert [category.label for category in found.categories] == best[0]
                assert [category.probability for category in found.categories] == best[1]
                assert found.indoor == answer["indoor"][row].item()
                assert [found.width, found.height] == batch["size"][row].tolist()


def test_the_answer_is_printed_as_the_command_prints_it(
    capsys: pytest.CaptureFixture[str],
    run_folder: Path,
    model: places.TrainedModel,
    photos: list[Path],
) -> None:
    assert run("predict", *photos[:3], "--ckpt_path", run_folder) == 0
    printed = capsys.readouterr().out
    assert "\n".join(map(str, model.predict(photos[:3]))) + "\n" == printed


def test_images_arrays_and_tensors_are_read_as_files_are(
    model: places.TrainedModel, photos: list[Path]
) -> None:
    from_files = [a for a in model.predict(photos, batch_size=1, exact=True) if not a.error]
    readable = [path for path in photos if path.name != "04.jpg"]
    with ExitStack() as files:
        opened = [files.enter_context(Image.open(path)) for path in readable]
        from_images = model.predict(opened, batch_size=1)
    for file, image in zip(from_files, from_images, strict=True):
        assert file.categories == image.categories
        assert (file.width, file.height) == (image.width, image.height)
        assert image.path is None
    picture = drawn_picture(120, 90)
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    kinds: list[Any] = [
        *(picture, array, array[:, ::-1][:, ::-1], np.asfortranarray(array)),
        *(array.astype(np.uint16) * 257, array.astype(np.float64) / 255, array.astype(np.int64)),
        *(tensor, tensor / 255, (tensor / 255).double(), picture.convert("RGBA")),
        np.dstack([array, np.full((90, 120), 255, np.uint8)]),
    ]
    answers = model.predict(kinds, batch_size=1)
    assert [answer.error for answer in answers] == [""] * len(kinds)
    assert len({answer.categories for answer in answers}) == 1
    gray = np.asarray(picture.convert("L"))
    grays: list[Any] = [picture.convert("L"), gray, gray[:, :, None], np.dstack([gray] * 3)]
    grays += [torch.from_numpy(gray.copy()), torch.from_numpy(gray.copy())[None]]
    assert len({answer.categories for answer in model.predict(grays, batch_size=1)}) == 1
    black_and_white = gray > 128
    answers = model.predict([black_and_white, Image.fromarray(black_and_white)], batch_size=1)
    assert answers[0].categories == answers[1].categories


def test_one_picture_or_many_or_none(model: places.TrainedModel, photos: list[Path]) -> None:
    array = np.asarray(drawn_picture(70, 80))
    for one in (photos[0], str(photos[0]), Image.fromarray(array), array, array[:, :, 0]):
        assert len(model.predict(one)) == 1
    assert len(model.predict(np.stack([array] * 3))) == 3
    assert len(model.predict(torch.zeros(2, 3, 40, 50, dtype=torch.uint8))) == 2
    assert model.predict([]) == []
    assert model.predict(iter([])) == []
    assert model.predict({photos[0]})[0].path == str(photos[0])
    assert [a.path for a in model.predict(iter(photos))] == list(map(str, photos))
    answer = model.predict(photos[0], top_k=2)[0]
    assert len(answer.categories) == 2


def test_what_cannot_be_read_has_an_error_and_costs_no_other(
    model: places.TrainedModel, photos: list[Path], tmp_path: Path, stack: ExitStack
) -> None:
    cut = stack.enter_context(Image.open(photos[4]))
    closed = Image.open(photos[0])
    closed.close()
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    bad: list[Any] = [
        *(photos[4], cut, closed, text, tmp_path / "gone.jpg", tmp_path, "a\0b.jpg", ""),
        *("*.jpg", "https://host/a.jpg", np.zeros((3, 50, 60), np.uint8), np.zeros((4, 4, 7))),
        *(np.zeros((0, 5, 3), np.uint8), np.zeros(7), np.full((8, 8), np.nan)),
        *(np.full((8, 8), -1.0), torch.zeros(50, 60, 3), torch.randn(3, 8, 8)),
        Image.new("LAB", (50, 50)),
    ]
    answers = model.predict([photos[0], *bad, photos[0]], batch_size=4)
    assert [bool(answer.error) for answer in answers] == [False, *[True] * len(bad), False]
    assert answers[0].categories
    for answer in answers[1:-1]:
        assert answer.categories == ()
        assert (answer.indoor, answer.width, answer.height) == (None, None, None)
        assert answer.error in str(answer)
        assert answer.error in repr(answer)
    assert "transpose(1, 2, 0)" in answers[11].error
    assert "permute(2, 0, 1)" in answers[17].error
    assert model.predict(photos[4])[0].error == answers[1].error


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (3, "not an int"),
        (None, "not a NoneType"),
        (b"\xff\xd8", "not a bytes: PIL.Image.open"),
        ({"a.jpg": 1}, "not a dict"),
        ([[1, 2]], "picture 0 is no picture but a list"),
        ([b""], "picture 0 is no picture but a bytes"),
        ([np.array(["a"])], "picture 0 is no picture but an array of <U1"),
        ([np.zeros((4, 4), complex)], "an array of complex128"),
    ],
)
def test_what_is_no_picture_at_all_is_a_type_error(
    model: places.TrainedModel,
    wrong: Any,  # noqa: ANN401  # that is the test
    said: str,
) -> None:
    for call in (model.predict, model.embed):
        with pytest.raises(TypeError, match=said):
            call(wrong)


def test_folders_and_patterns_are_answered_with_what_to_type(
    model: places.TrainedModel, photos: list[Path]
) -> None:
    with pytest.raises(DataError, match=r"is a folder\n  give its pictures:  sorted\(pathlib"):
        model.predict(photos[0].parent)
    with pytest.raises(DataError, match=r"no file is called 'x/\*\.jpg'\n  .*glob\.glob\('x/"):
        model.predict("x/*.jpg")
    for wrong in ({"top_k": 0}, {"top_k": 366}, {"batch_size": 0}, {"max_pixels": 0}):
        (name,) = wrong
        with pytest.raises(ConfigError, match=f"`{name}` must be"):
            model.predict(photos[0], **wrong)  # type: ignore[arg-type]  # that is the test


def test_large_pictures_are_refused_or_decoded_smaller(
    model: places.TrainedModel, photos: list[Path]
) -> None:
    large = drawn_picture(1000, 700)
    answers = model.predict([photos[10], large, np.asarray(large)], max_pixels=500_000)
    assert [answer.error for answer in answers] == [
        "",
        *["picture of 1,000 x 700 pixels; at most 500,000 are allowed"] * 2,
    ]
    assert (answers[0].width, answers[0].height) == (1000, 700)
    exactly, nearly = (model.predict(photos[10], exact=exact)[0] for exact in (True, False))
    assert exactly != nearly
    assert exactly.categories[0].label == nearly.categories[0].label


def test_pictures_are_read_when_they_are_taken(
    model: places.TrainedModel, stack: ExitStack
) -> None:
    """The same image or array may come again with other pixels, as a frame of a film does."""
    frames = [drawn_picture(80, 70, seed).quantize(32) for seed in range(5)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:], loop=0)
    film = stack.enter_context(Image.open("film.gif"))
    apart = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    expected = [answer.categories for answer in model.predict(iter(apart), batch_size=2)]
    assert len(set(expected)) == 5
    answers = model.iter_predict(ImageSequence.Iterator(film), batch_size=2)
    assert [answer.categories for answer in answers] == expected
    buffer = np.zeros((70, 80, 3), np.uint8)

    def read() -> Iterator[np.ndarray[Any, Any]]:
        for picture in apart:
            buffer[:] = np.asarray(picture)
            yield buffer

    assert [answer.categories for answer in model.iter_predict(read(), batch_size=2)] == expected


def test_answers_come_while_pictures_are_taken_and_memory_does_not_grow(
    model: places.TrainedModel,
) -> None:
    picture = np.asarray(drawn_picture(1000, 700))  # 2.1 MB
    taken = 0

    def camera() -> Iterator[np.ndarray[Any, Any]]:
        nonlocal taken
        for _ in range(150):
            taken += 1
            yield picture.copy()

    ahead, memory = 0, []
    for number, _ in enumerate(model.iter_predict(camera(), batch_size=4), 1):
        ahead = max(ahead, taken - number)
        if number % 50 == 0:
            gc.collect()
            memory.append(psutil.Process().memory_info().rss)
    assert (number, taken) == (150, 150)
    assert ahead <= 2 * 4
    assert memory[2] - memory[0] < 50e6  # of 210 MB of pictures since


def test_threads_end_with_the_iterator(model: places.TrainedModel, photos: list[Path]) -> None:
    def decoding() -> int:
        return sum(thread.name.startswith("places-decode") for thread in threading.enumerate())

    before = decoding()
    answers = model.iter_predict(photos * 20, batch_size=2)
    assert next(answers).path == str(photos[0])
    assert decoding() > before
    answers.close()
    assert decoding() == before

    def failing() -> Iterator[Path]:
        yield photos[0]
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        model.predict(failing())
    assert decoding() == before


def test_a_storage_that_fails_is_raised_after_what_was_answered(
    monkeypatch: pytest.MonkeyPatch, model: places.TrainedModel, photos: list[Path]
) -> None:
    bad, real_open = photos[3], os.open

    def failing_open(path: Any, *rest: Any, **named: Any) -> int:  # noqa: ANN401  # as it comes
        if Path(path) == bad:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real_open(path, *rest, **named)

    monkeypatch.setattr(os, "open", failing_open)
    answers = model.iter_predict(iter([*photos[:3], bad]), batch_size=3)
    assert [next(answers).path for _ in range(3)] == [str(path) for path in photos[:3]]
    with pytest.raises(StorageError, match=f"cannot read {bad}"):
        next(answers)


def test_several_threads_may_use_one_model(model: places.TrainedModel, photos: list[Path]) -> None:
    expected = model.predict(photos, batch_size=2)
    features = model.embed(photos[:4], batch_size=3)
    found: list[bool] = []

    def work() -> None:
        for _ in range(3):
            same = model.predict(photos, batch_size=2) == expected
            found.append(same and (model.embed(photos[:4], batch_size=3) == features).all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12


@pytest.mark.parametrize("is_loaded_before", [True, False])
def test_a_model_goes_on_after_a_fork(
    run_folder: Path, photos: list[Path], is_loaded_before: bool
) -> None:
    """Also where torch had several threads before, for which it would wait forever."""
    program = """
        import os, signal, sys, places, torch
        torch.set_num_threads(2)
        folder, is_loaded_before, *photos = sys.argv[1:]
        model = places.load(folder, device="cpu")
        expected = model.predict(photos)
        if not os.fork():
            signal.alarm(100)
            model = model if is_loaded_before == "True" else places.load(folder, device="cpu")
            answers = model.predict(photos)
            same = [a.categories[0].label for a in answers] == [
                b.categories[0].label for b in expected
            ]
            os._exit(0 if same and len(answers) == 4 else 3)
        print(os.wait()[1])
    """
    assert alone(program, run_folder, is_loaded_before, *photos[:4]) == "0\n"


def test_features_are_what_goes_into_the_last_layer(
    model: places.TrainedModel, net: nn.Module, photos: list[Path]
) -> None:
    with pytest.warns(UserWarning, match=r"rows of NaN for unreadable pictures: .*04\.jpg: not a"):
        features = model.embed(photos, batch_size=4, exact=True)
    assert features.shape == (11, 512)
    assert features.dtype == np.float32
    assert np.isnan(features[4]).all()
    assert np.isfinite(np.delete(features, 4, axis=0)).all()
    body = nn.Sequential(*list(net.children())[:-1], nn.Flatten())
    with torch.inference_mode():
        for row in (0, 1, 7, 10):
            expected = body.double()(prepared(photos[row]).double())[0].numpy()
            np.testing.assert_allclose(features[row], expected, atol=2e-5)
    assert model.embed(photos[0]).shape == (1, 512)
    assert model.embed([]).shape == (0, 512)
    features[0] = 0  # theirs to change
    assert not any(layer._forward_hooks for layer in model.net.modules())


@pytest.mark.filterwarnings("ignore:rows of NaN")
def test_features_equal_those_of_the_command_to_the_last_bit(
    run_folder: Path, model: places.TrainedModel, photos: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "features.npy"
    words = ["--ckpt_path", run_folder, "--predictions.embeddings", file]
    assert run("predict", photos[0].parent, *words) == 1
    assert np.array_equal(np.load(file), model.embed(photos), equal_nan=True)


def test_a_network_without_a_last_linear_layer_has_no_features(
    photos: list[Path], run_folder: Path
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 365, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.save(net.state_dict(), "conv.pt")
    model = places.load("conv.pt", net=net, device="cpu", image_size=32, resize_size=32)
    assert len(model.predict(photos[0])) == 1
    with pytest.raises(ConfigError, match="Sequential has no last linear layer"):
        model.embed(photos[0])


@pytest.mark.parametrize("call", ["predict", "embed"])
def test_outputs_that_are_not_finite_are_refused(photos: list[Path], call: str) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 365), OneIsNaN())
    torch.save(net.state_dict(), "nan.pt")
    model = places.load("nan.pt", net=net, device="cpu")
    if call == "predict":
        with pytest.raises(CheckpointError, match=r"no predictions: .* NaN or .* 2 of 3 pictures"):
            model.predict([photos[0], photos[4], photos[1]])
    else:
        assert model.embed(photos[0]).shape == (1, 3)
        body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Infinite(), nn.Linear(3, 365))
        torch.save(body.state_dict(), "nan.pt")
        model = places.load("nan.pt", net=body, device="cpu")
        with pytest.raises(CheckpointError, match=r"no features: .* 1 of 1 picture"):
            model.embed(photos[0])


class OneIsNaN(nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits + torch.where(torch.arange(365) == 7, torch.nan, 0)


class Infinite(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features / 0


def test_a_network_of_other_classes_has_features_but_no_answers(photos: list[Path]) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    torch.save(net.state_dict(), "ten.pt")
    model = places.load("ten.pt", net=net, device="cpu")
    assert model.embed(photos[0]).shape == (1, 3)
    with pytest.raises(ConfigError, match="the network has 10 classes, but there are 365"):
        model.predict(photos[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_answers_the_same(
    run_folder: Path, model: places.TrainedModel, photos: list[Path]
) -> None:
    on_gpu = places.load(run_folder, device="cuda")
    for here, there in zip(model.predict(photos), on_gpu.predict(photos), strict=True):
        assert (here.path, here.error) == (there.path, there.error)
        for mine, theirs in zip(here.categories, there.categories, strict=True):
            assert mine.probability == pytest.approx(theirs.probability, abs=1e-3)
    np.testing.assert_allclose(model.embed(photos[:3]), on_gpu.embed(photos[:3]), atol=1e-2)
