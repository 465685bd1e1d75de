"""Which kind of layer an operation of PyTorch belongs to, and what it computes and moves.

Counted is what operations are asked to do, one call after the other, on a small device of thought:
each reads its inputs from memory and writes its results there. Caches make the traffic less.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

CONV, LINEAR, NORM, ACTIVATION, POOLING = "conv", "linear", "norm", "activation", "pooling"
ADDITION, LOSS, OPTIMIZER, OTHER = "addition", "loss", "optimizer", "other"
KINDS = (CONV, LINEAR, NORM, ACTIVATION, POOLING, ADDITION, LOSS, OPTIMIZER, OTHER)
# The first that is found in a name decides: of operators, and of what autograd calls them.
_WORDS = {
    OPTIMIZER: r"^optimizer\.|^_foreach|^_fused_(sgd|adam)",
    LOSS: r"cross_entropy|nll_?loss|log_?softmax",
    CONV: r"^(_|_slow_|mkldnn_|cudnn_|miopen_|thnn_|slow_)?conv(olution|[123]d|_|$)",
    NORM: r"norm",
    POOLING: r"pool|^mean$",
    LINEAR: r"^(mkldnn_)?linear$|^(add|b|addb|baddb)?mm$|^matmul$|^(add)?mv$|attention",
    ACTIVATION: r"relu|gelu|silu|elu|sigmoid|tanh|hardswish|threshold|mish|softplus|^clamp_min",
    ADDITION: r"^add$",
}
_PATTERNS = {kind: re.compile(words) for kind, words in _WORDS.items()}
# Of what nobody counts as arithmetic: about so many per element of the largest tensor.
_PER_ELEMENT = {NORM: 4}


def kind_of(name: str) -> str | None:
    """Return the kind of layer of an operation, or `None` if its name does not tell.

    Args:
        name: As the profiler has it ("aten::relu_", "ConvolutionBackward0", "Optimizer.step#SGD"),
            or as the dispatcher has it ("relu_").
    """
    short = name.rpartition(": ")[2].rpartition("::")[2].lower()
    short = re.sub(r"backward\d*$", "", short).rstrip("_") or short
    return next((kind for kind, words in _PATTERNS.items() if words.search(short)), None)


@dataclass
class Amount:
    """What operations of one kind do.

    Attributes:
        flops: Operations, two for each multiply-add.
        num_bytes: Bytes read and written.
        matmul_flops: The part of `flops` that is in convolutions and products of matrices.
    """

    flops: float = 0.0
    num_bytes: float = 0.0
    matmul_flops: float = 0.0

    @property
    def intensity(self) -> float | None:
        """Operations per byte; `None` where nothing is moved."""
        return self.flops / self.num_bytes if self.num_bytes else None


@dataclass
class Amounts:
    """What each kind of layer does; `kinds` by name."""

    kinds: dict[str, Amount] = field(default_factory=lambda: defaultdict(Amount))

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of convolutions and products of matrices."""
        return round(sum(amount.matmul_flops for amount in self.kinds.values()) / 2)


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Counts what operations do while it is active, forward and backward.

    Not within `torch.inference_mode`, which shows layers in place of their operations.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.amounts = Amounts()
        self.within: str | None = None  # the kind of all that comes, whatever its name

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # an operator of PyTorch
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not _only_looks(func):
            kind = self.within or kind_of(func.overloadpacket.__name__) or OTHER
            _count(self.amounts.kinds[kind], kind, func, args, kwargs, out)
        return out


def count_inference(net: nn.Module, images: Tensor) -> Amounts:
    """Return what a network does to classify some pictures, in evaluation mode."""
    counting = Counting()
    with torch.inference_mode(False), torch.no_grad(), counting:
        net(images)
    return counting.amounts


def count_step(step: Callable[[], object]) -> Amounts:
    """Return what a training step does.

    Args:
        step: Runs it. Runs twice, as the first step of an optimizer differs.
    """
    counting = Counting()

    def begin(*_: object) -> None:
        counting.within = OPTIMIZER

    def end(*_: object) -> None:
        counting.within = None

    step()
    hooks = register_optimizer_step_pre_hook(begin), register_optimizer_step_post_hook(end)
    try:
        with counting:
            step()
    finally:
        for hook in hooks:
            hook.remove()
    return counting.amounts


def _only_looks(func: Any) -> bool:  # noqa: ANN401  # an operator of PyTorch
    """Tell whether an operation moves nothing: it looks at a tensor otherwise, or asks for room."""
    looks = [x.alias_info for x in func._schema.returns if x.alias_info is not None]
    is_empty = func.overloadpacket.__name__.startswith(("empty", "new_empty", "_unsafe_view"))
    return is_empty or (bool(looks) and not any(alias.is_write for alias in looks))


def _count(
    amount: Amount,
    kind: str,
    func: Any,  # noqa: ANN401  # an operator of PyTorch
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    out: Any,  # noqa: ANN401  # what it returns
) -> None:
    read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    written = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
    if not written:  # operations on lists write where they read
        written = read
    amount.num_bytes += sum(x.numel() * x.element_size() for x in [*read, *written])
    count_flops = flop_registry.get(func.overloadpacket)
    if count_flops is not None:
        flops = count_flops(*args, **kwargs, out_val=out)
        amount.matmul_flops += flops
    else:
        largest = max((x.numel() for x in [*read, *written]), default=0)
        flops = _PER_ELEMENT.get(kind, 1) * largest
    amount.flops += flops
