"""The compiler, where it pays: decided from how long the first batches of a network take."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from places.console import printable, say

# Measured on two cores: compiled, ResNet-50 takes 0.94 of the time (0.76 where freed memory is not
# kept, see `places.freed_memory`) and other networks 0.86 to 1.0; compiling ResNet-50 takes 7 to
# 12 s, and the more layers there are, the longer. Both are taken to be a bit worse here.
_SAVED = 0.05
_COMPILE_S, _COMPILE_S_PER_LAYER = 3.0, 0.12
_LEAST_SHARE = 0.2  # of the cores, where other programs take the rest: so much longer it takes
_NUM_TIMED = 2  # batches before the decision, and after it
_SLOWER = 1.05  # from here on a compiled network is given up
_NUM_COMPARED = 4  # pictures
# How far their probabilities may be off, by the kind of the logits, and for any other kind.
_AGREE, _AGREE_16_BITS = {torch.float32: 1e-4, torch.float64: 1e-4}, 0.02
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class CompiledWhereItPays:
    """Runs a network on batches; compiles it if it saves more time than it takes.

    Batches of another shape than that for which it was compiled, such as the last one, run as
    before: nothing is ever compiled twice. Whatever goes wrong is said in a line, and the network
    runs as before.

    Args:
        net: Takes pictures, returns logits `(N, num_classes)` or a tuple that begins with them.
        choice: Whether to compile: true and false force it, null decides. It then compiles on the
            CPU only, where it was measured.
        num_batches: Batches that are to come.
    """

    def __init__(self, net: nn.Module, choice: bool | None, num_batches: float) -> None:
        self._net = net
        self._choice = choice
        self._num_left, self._num_seen = num_batches, 0
        self._eager_s: list[float] = []  # of batches of the same shape as the one before
        self._cores_s = 0.0  # what they took of all cores
        self._compiled_s: list[float] = []
        self._last_shape: torch.Size | None = None
        self._compiled: Callable[[Tensor], Any] | None = None
        self._shape: torch.Size | None = None

    def __call__(self, images: Tensor) -> Any:  # noqa: ANN401  # what the network returns
        """Return what the network returns for some pictures."""
        self._num_left -= 1
        self._num_seen += 1
        if self._compiled is not None and images.shape == self._shape:
            return self._run_compiled(self._compiled, images)
        if self._shape is None and images.shape != self._last_shape:
            self._last_shape, self._eager_s, self._cores_s = images.shape, [], 0.0
        if self._choice is not False and self._shape is None and self._pays(images):
            self._shape = images.shape
            output = self._compile(images)
            if output is not None:
                return output
        start_s, start_cores_s = time.perf_counter(), time.process_time()
        output = self._net(images)
        if self._shape is None and images.device.type == "cpu":
            self._eager_s.append(time.perf_counter() - start_s)
            self._cores_s += time.process_time() - start_cores_s
        return output

    def _pays(self, images: Tensor) -> bool:
        if self._choice:  # not for the first batch, which may be smaller, if others are to come
            is_due = self._num_seen > 1 or self._num_left <= 0
            if is_due:
                say("compiling the network")
            return is_due
        if len(self._eager_s) < _NUM_TIMED:
            return False
        batch_s = min(self._eager_s)
        left_s = batch_s * (self._num_left + 1)
        num_layers = sum(isinstance(layer, _LAYERS) for layer in self._net.modules())
        share = self._cores_s / (sum(self._eager_s) * torch.get_num_threads())
        compile_s = (_COMPILE_S + _COMPILE_S_PER_LAYER * num_layers) / min(
            1.0, max(share, _LEAST_SHARE)
        )
        # Later on ever fewer wait: it is decided once.
        self._choice = left_s * _SAVED > compile_s
        if self._choice:
            say(
                f"compiling the network, about {compile_s:.0f} s, pays: the "
                f"{len(images) * (self._num_left + 1):,} pictures left take {left_s:,.0f} s at "
                f"{len(images) / batch_s:,.1f} a second, and about {_SAVED * left_s:,.0f} s less "
                "compiled (--model.compile false leaves it out)"
            )
        return self._choice

    def _compile(self, images: Tensor) -> Any | None:  # noqa: ANN401  # what the network returns
        """Compile, and return what the compiled network returns; `None` if it cannot be used."""
        start_s = time.perf_counter()
        try:
            with without_words(), frozen_weights():
                compiled = torch.compile(self._net, dynamic=False)
                output = compiled(images)
        except Exception as error:  # no C++ compiler, or a network beyond the compiler
            reason = printable(str(error).strip().partition("\n")[0])[:200]
            say(f"the network runs without the compiler, which failed: {reason}")
            return None
        duration_s = time.perf_counter() - start_s
        few = images[:_NUM_COMPARED]
        difference = _difference(self._net(few), output, len(few))
        if difference is not None:
            say(
                "the network runs without the compiler: compiled, its probabilities differ by "
                f"{difference:.2g}"
            )
            return None
        say(f"compiled in {duration_s:.1f} s")
        self._compiled = compiled
        return output

    def _run_compiled(self, compiled: Callable[[Tensor], Any], images: Tensor) -> Any:  # noqa: ANN401  # what the network returns
        start_s = time.perf_counter()
        # A network that counts its calls, for instance, would be compiled again for each.
        with torch.compiler.set_stance("eager_on_recompile"):
            output = compiled(images)
        if self._eager_s and len(self._compiled_s) < _NUM_TIMED:
            self._compiled_s.append(time.perf_counter() - start_s)
            if len(self._compiled_s) == _NUM_TIMED:
                before, now = (len(images) / min(x) for x in (self._eager_s, self._compiled_s))
                rates = f"{now:,.1f} pictures a second instead of {before:,.1f}"
                if now * _SLOWER < before:
                    self._compiled = None
                    say(f"the network runs without the compiler again: {rates}")
                else:
                    say(f"the compiled network: {rates}")
        return output


def _difference(eager: Any, compiled: Any, num: int) -> float | None:  # noqa: ANN401  # of a network
    """Return by how much probabilities differ at most, or `None` if they agree."""
    logits = [x if isinstance(x, Tensor) else x[0] for x in (eager, compiled)]
    before, after = (x[:num].float().softmax(dim=1) for x in logits)
    tolerance = _AGREE.get(logits[0].dtype, _AGREE_16_BITS)
    if torch.allclose(before, after, rtol=0, atol=tolerance, equal_nan=True):
        return None
    return float((before - after).abs().nan_to_num(1.0).max())


@contextmanager
def frozen_weights() -> Iterator[None]:
    """Let the compiler take weights for constants, which saves most of what it saves on a CPU.

    `torch.compile` has an option of that name, but looks at this setting, too, when it reads the
    network, and then takes weights for inputs.
    """
    from torch._inductor import config  # takes a second, and is only needed here

    with config.patch(freezing=True):
        yield


@contextmanager
def without_words() -> Iterator[None]:
    """Keep the compiler from warning of what no user can do anything about, such as no GPU."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
