"""The ways of running a network: what is done to it before it is timed."""

import copy
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from places.bench.study.choice import unknown_word
from places.errors import ConfigError
from places.models.channels_last import overwriting_layers
from places.models.compiling import frozen_weights, without_words
from places.models.folded import folded

Work = Literal["inference", "training"]
WORKS: tuple[Work, ...] = ("inference", "training")
EAGER = "eager"
# In the order in which they are done.
PARTS = (
    EAGER,
    "folded",
    "channels_last",
    "bf16",
    "compiled",
    "cuda_graph",
    "onnxruntime",
    "openvino",
)
_OF_TRAINING = {EAGER, "channels_last", "bf16", "compiled"}
_RUNTIMES = {"onnxruntime", "openvino"}
_LR, _MOMENTUM = 1e-4, 0.9  # so small that no loss diverges on noise
_RECOMPILE_LIMIT = 10_000  # each network, way and size is compiled once; never back to eager
DEFAULT_WAYS = {
    "cpu": "eager,channels_last,folded,folded+channels_last,folded+compiled,bf16+channels_last,"
    "onnxruntime,openvino",
    "cuda": "eager,channels_last,folded+channels_last,folded+compiled,bf16+channels_last,"
    "folded+bf16+channels_last+cuda_graph",
}


@dataclass(frozen=True)
class Way:
    """What is done to a network.

    Attributes:
        text: As it was typed, such as "folded+compiled".
        parts: Its words, of `PARTS`.
    """

    text: str
    parts: frozenset[str]

    def fits(self, work: Work) -> bool:
        """Tell whether it makes sense for a kind of work: nothing is folded in training."""
        return work == "inference" or self.parts <= _OF_TRAINING

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of weights and pictures."""
        is_last = "channels_last" in self.parts
        return torch.channels_last if is_last else torch.contiguous_format

    @property
    def dtype(self) -> torch.dtype:
        """The kind of numbers of weights and pictures in inference."""
        return torch.bfloat16 if self.parts & {"bf16"} and not self.runtime else torch.float32

    @property
    def runtime(self) -> str | None:
        """The library that runs it in place of PyTorch."""
        return next(iter(self.parts & _RUNTIMES), None)


def way_of(text: str) -> Way:
    """Return the way that a word such as "folded+compiled" names.

    Raises:
        ConfigError: A part of it is unknown, or its parts exclude each other.
    """
    words = text.split("+")
    for word in words:
        if word not in PARTS:
            raise unknown_word("ways", word, PARTS)
    parts = frozenset(words)
    if len(parts) < len(words):
        raise ConfigError(f"`ways` has {text!r}, which says something twice")
    for alone, others in (
        ({EAGER}, set(PARTS) - {EAGER}),
        ({"onnxruntime"}, {"channels_last", "compiled", "cuda_graph", "openvino", "bf16"}),
        ({"openvino"}, {"channels_last", "compiled", "cuda_graph"}),
    ):
        if alone <= parts and parts & others:
            both = f"{next(iter(alone))} does not go with {', '.join(sorted(parts & others))}"
            raise ConfigError(f"`ways` has {text!r}: {both}")
    return Way(text, parts)


@dataclass(frozen=True)
class Prepared:
    """A network that is ready to run.

    Attributes:
        run: Takes pictures of the right kind, returns logits.
        way: What was done to it.
    """

    run: Callable[[Tensor], Tensor]
    way: Way

    def pictures(self, batch_size: int, image_size: int, device: torch.device) -> Tensor:
        """Return pictures `(N, 3, H, W)` of noise as the network wants them."""
        return noise(batch_size, image_size, device).to(
            dtype=self.way.dtype, memory_format=self.way.memory_format
        )


def noise(batch_size: int, image_size: int, device: torch.device) -> Tensor:
    """Return pictures `(N, 3, H, W)` float32 of noise, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch_size, 3, image_size, image_size, generator=generator).to(device)


def prepare_inference(
    net: nn.Module, way: Way, image_size: int, device: torch.device, num_threads: int
) -> Prepared:
    """Make a network ready to classify.

    Args:
        net: The network in evaluation mode, on its device. Not changed.
        way: What to do to it.
        image_size: Height and width of the pictures in pixels.
        device: Where it runs.
        num_threads: Threads of libraries other than PyTorch.

    Raises:
        Exception: It cannot be run in this way; the reason is in its first line.
    """
    if "folded" in way.parts:
        net = _folded(net)
    if way.runtime is not None:
        from places.bench.study.runtimes import run_elsewhere

        example = noise(2, image_size, device)
        return Prepared(run_elsewhere(net, way, example, num_threads), way)
    if way.parts & {"bf16", "channels_last"}:
        net = copy.deepcopy(net).to(dtype=way.dtype).to(memory_format=way.memory_format)
    if "compiled" in way.parts:
        return Prepared(_Compiled(net), way)
    if "cuda_graph" in way.parts:
        if device.type != "cuda":
            raise RuntimeError("CUDA graphs need a GPU")
        return Prepared(_Graphed(net), way)
    return Prepared(net, way)


def training_step(net: nn.Module, way: Way, images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Return a function that does one training step and returns its loss.

    SGD with momentum and cross-entropy; with bf16 the forward pass runs under autocast, as
    Lightning's `bf16-mixed` does.

    Args:
        net: The network, on its device; it is trained.
        way: What to do to it.
        images: `(N, 3, H, W)` float32.
        labels: `(N,)` int64.

    Raises:
        RuntimeError: It cannot be trained in this way; the reason is in its first line.
    """
    is_last = way.memory_format == torch.channels_last
    if is_last and images.device.type == "cpu" and (layers := overwriting_layers(net)):
        raise RuntimeError(f"PyTorch cannot train layer {layers[0]} so (oneDNN issue 6035)")
    net.train().to(memory_format=way.memory_format)
    images = images.contiguous(memory_format=way.memory_format)
    optimizer = SGD(net.parameters(), lr=_LR, momentum=_MOMENTUM)
    forward: Callable[[Tensor], Tensor] = _Compiled(net) if "compiled" in way.parts else net

    def step() -> Tensor:
        is_half = "bf16" in way.parts
        with torch.autocast(images.device.type, torch.bfloat16) if is_half else nullcontext():
            loss = F.cross_entropy(forward(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    return step


def _folded(net: nn.Module) -> nn.Module:
    own = getattr(net, "folded", None)  # of our networks, which may have more than batch norms
    new = own() if callable(own) else folded(net)
    assert isinstance(new, nn.Module)
    return new


class _Compiled:
    """A network that is compiled once for each shape, when it first meets it."""

    def __init__(self, net: nn.Module) -> None:
        self._run: Callable[[Tensor], Tensor] = torch.compile(net, dynamic=False)
        self._shapes: set[torch.Size] = set()

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape in self._shapes:
            return self._run(images)
        with ExitStack() as stack:
            stack.enter_context(without_words())
            torch.compiler.config.recompile_limit = _RECOMPILE_LIMIT
            if not torch.is_grad_enabled() and images.device.type == "cpu":
                stack.enter_context(frozen_weights())
            logits = self._run(images)
        self._shapes.add(images.shape)
        return logits


class _Graphed:
    """A network whose kernels are recorded once for each shape, then started together."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._recorded: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape not in self._recorded:
            self._recorded[images.shape] = self._record(images)
        graph, into, logits = self._recorded[images.shape]
        into.copy_(images)
        graph.replay()
        return logits

    def _record(self, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        into = images.clone(memory_format=torch.preserve_format)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up, which cannot be recorded
            for _ in range(3):
                self._net(into)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._net(into)
        return graph, into, logits
