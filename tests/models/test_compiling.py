import shutil
import time
from typing import Any

import pytest
import torch
from tests.networks import Tiny
from torch import Tensor, nn

from places.models.compiling import CompiledWhereItPays
from places.models.inference import ACTIVATION, FEATURES, Inference

has_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


class Slow(nn.Module):
    """Takes a while for each batch, but not where the compiler makes something else of it."""

    def __init__(self, num_ms: float = 20, compiled_ms: float = 0, bias: float = 0) -> None:
        super().__init__()
        self.head = nn.Linear(3, 6)
        self.num_ms, self.compiled_ms, self.bias = num_ms, compiled_ms, bias

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.mean(dim=(2, 3)))
        if torch.compiler.is_compiling():
            logits = logits + torch.arange(6) * self.bias
        is_compiled = torch.compiler.is_compiling()
        pause(logits, self.compiled_ms if is_compiled else self.num_ms)
        return logits


@torch.library.custom_op("places_tests::pause", mutates_args={"logits"})
def pause(logits: Tensor, num_ms: float) -> None:
    time.sleep(num_ms / 1000)


@pause.register_fake
def _(logits: Tensor, num_ms: float) -> None:
    pass


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes that were compiled, without the seconds that the compiler behind it takes."""
    torch.compiler.reset()
    shapes: list[torch.Size] = []
    compile_net = torch.compile

    def backend(graph: Any, inputs: list[Tensor]) -> Any:  # noqa: ANN401  # torch's
        shapes.append(next(x.shape for x in inputs if x.ndim == 4))
        return graph

    def without_compiler(net: Any, *, dynamic: bool) -> Any:  # noqa: ANN401  # torch's
        return compile_net(net, dynamic=dynamic, backend=backend)

    monkeypatch.setattr(torch, "compile", without_compiler)
    return shapes


def _run(net: nn.Module, choice: bool | None, num_batches: float, sizes: list[int]) -> list[Tensor]:
    run, answers = CompiledWhereItPays(net.eval(), choice, num_batches), []
    with torch.inference_mode():
        for size in sizes:
            images = torch.full((size, 3, 8, 8), 0.5)
            answers.append(run(images))
            torch.testing.assert_close(answers[-1], net(images))
    return answers


def test_it_compiles_where_many_pictures_wait(
    compilations: list[torch.Size], capsys: pytest.CaptureFixture[str]
) -> None:
    _run(Slow(), None, 40_000, [1, *[4] * 6, 3, 4, 2])
    # Once, after two batches of a size; batches of other sizes run as before.
    assert compilations == [(4, 3, 8, 8)]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    # It rests, as if other programs had the cores: then compiling takes longer, too.
    assert "compiling the network, about 16 s, pays: the 159,988 pictures left take" in lines[0]
    assert "--model.compile false" in lines[0]
    assert "compiled in" in lines[1]
    assert "pictures a second instead of" in lines[2]


@pytest.mark.parametrize(("choice", "num_batches"), [(None, 100), (False, 1e9)])
def test_it_does_not_where_it_would_not_pay(
    compilations: list[torch.Size],
    capsys: pytest.CaptureFixture[str],
    choice: bool | None,
    num_batches: float,
) -> None:
    _run(Slow(), choice, num_batches, [4] * 5)
    assert not compilations
    assert not capsys.readouterr().err


@pytest.mark.parametrize("sizes", [[4], [2, 4], [2, 4, 4, 3]])
def test_true_compiles_for_the_batches_after_the_first(
    compilations: list[torch.Size], sizes: list[int]
) -> None:
    _run(Slow(0), True, len(sizes), sizes)
    assert compilations == [(4, 3, 8, 8)]


def test_a_compiled_network_that_is_slower_is_given_up(
    compilations: list[torch.Size],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pauses_s, sleep = list[float](), time.sleep

    def noted_sleep(duration_s: float) -> None:
        pauses_s.append(duration_s)
        sleep(duration_s)

    monkeypatch.setattr(time, "sleep", noted_sleep)
    _run(Slow(5, compiled_ms=200), None, 1e6, [4] * 10)
    assert 1 <= pauses_s.count(0.2) <= 5
    assert "runs without the compiler again" in capsys.readouterr().err


def test_a_compiled_network_that_answers_otherwise_is_not_used(
    compilations: list[torch.Size], capsys: pytest.CaptureFixture[str]
) -> None:
    _run(Slow(bias=0.01), None, 1e6, [4] * 5)
    assert "compiled, its probabilities differ by 0.0" in capsys.readouterr().err


def test_a_network_that_counts_its_calls_is_not_compiled_again(
    compilations: list[torch.Size],
) -> None:
    class Counting(Slow):
        num_calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.num_calls += 1
            if self.num_calls > 10:
                return super().forward(images)
            return super().forward(images) + 0

    _run(Counting(), True, 100, [4] * 8)
    assert len(compilations) == 1


def test_where_the_compiler_fails_the_network_runs_as_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", fail)
    answers = _run(Slow(0), True, 5, [4] * 3)
    assert len(answers) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "without the compiler, which failed: No working C++ compiler found" in error


@pytest.mark.slow
@has_compiler
def test_a_compiled_network_gives_features_and_activations() -> None:
    torch.manual_seed(0)
    net = Tiny(7, width=16).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        plain = Inference(net, {FEATURES, ACTIVATION}, fold=False)(images)
        inference = Inference(net, {FEATURES, ACTIVATION}, compile=True, num_batches=9)
        for num in (4, 4, 3):
            answer = inference(images[:num])
            for expected, found in zip(plain, answer, strict=True):
                assert expected is not None
                torch.testing.assert_close(found, expected[:num], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@has_compiler
def test_a_compiled_network_takes_its_weights_for_constants() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    run, images = CompiledWhereItPays(net, True, 3), torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        before = net(images)
        for _ in range(2):
            torch.testing.assert_close(run(images), before)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    with torch.inference_mode():
        torch.testing.assert_close(run(images), before)  # else most of its speed would be lost
