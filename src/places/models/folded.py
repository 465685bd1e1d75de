"""Batch norms and branches folded into convolutions: the same answers in less time."""

import copy
import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, fx, nn

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm

_NORMS: dict[type[nn.Module], tuple[type[nn.Module], ...]] = {
    nn.Conv1d: (nn.BatchNorm1d, nn.SyncBatchNorm),
    nn.Conv2d: (nn.BatchNorm2d, nn.SyncBatchNorm),
    nn.Conv3d: (nn.BatchNorm3d, nn.SyncBatchNorm),
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_log = logging.getLogger(__name__)


class Branches(nn.Module):
    """A layer with branches that can be one plain layer in evaluation mode."""

    def fused(self) -> nn.Module | None:
        """Return that layer, `None` if there is none now; this one stays as it is.

        It gives the same outputs but for rounding. `foldable` tells whether a batch norm can be
        part of it.
        """
        return None


def folded(net: nn.Module) -> nn.Module:
    """Return a network that gives the same answers in evaluation mode with fewer steps.

    A batch norm whose input is a convolution's output, and nothing else's, becomes a part of that
    convolution's weights, and `Branches` become one layer. The outputs differ by rounding. What is
    not surely so stays as it is: layers with hooks or of derived classes, those used twice, batch
    norms that look at the batch, weights of 16 bits. Of a network that cannot be traced only such
    branches and its `nn.Sequential` parts change.

    Args:
        net: Any network, in evaluation mode. It stays as it is; the new one shares the weights that
            are not changed, so neither should be trained after.

    Returns:
        A copy, which is not compiled; the network itself if it cannot be copied.
    """
    try:
        new = _copy(net)
    except Exception as error:  # a layer may hold anything, a lock for instance
        _log.debug("%s cannot be copied: %s", type(net).__name__, error)
        return net
    new = _with_fused_branches(new)
    if not any(isinstance(layer, Norm) for layer in new.modules()):
        return new
    try:
        pairs = _traced_pairs(new)
    except Exception as error:  # whatever the code of a network does with what is no tensor
        _log.debug("%s cannot be traced: %s", type(net).__name__, error)
        return _with_folded_parts(new)
    for conv_name, norm_name in pairs:
        conv, norm = new.get_submodule(conv_name), new.get_submodule(norm_name)
        if (both := foldable(conv, norm)) is not None:
            both[0].weight, both[0].bias = folded_weights(*both)
            new.set_submodule(norm_name, nn.Identity())
    return new


def folded_for_inference(net: nn.Module) -> nn.Module:
    """Return a folded copy of a network in evaluation mode, whatever mode the network is in.

    See `folded`. Its outputs differ by less than 1e-5 of the largest.
    """
    return folded(_copy(net).eval())


def _with_fused_branches(net: nn.Module) -> nn.Module:
    """Replace what has branches by plain layers, and return the network."""
    for name, part in list(net.named_modules()):
        if not isinstance(part, Branches) or any(map(_is_changed, part.modules())):
            continue
        if (plain := part.fused()) is not None:
            if not name:
                return plain
            net.set_submodule(name, plain)
    return net


def _copy(net: nn.Module) -> nn.Module:
    """Return a copy of the layers of a network, with the same tensors."""
    tensors = [*net.parameters(), *net.buffers()]
    return copy.deepcopy(net, {id(tensor): tensor for tensor in tensors})


def _traced_pairs(net: nn.Module) -> list[tuple[str, str]]:
    """Return the names of layers of which the second takes what the first returns, and no other.

    Raises:
        Exception: The network cannot be traced: it looks at numbers or shapes, for instance.
    """
    if any(_has_hooks(layer) for layer in net.modules() if list(layer.children())):
        raise ValueError("tracing would call its hooks")
    graph = fx.Tracer().trace(_copy(net))  # a copy, for it may remember what it was called with
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    # A weight that is read by itself must stay what it is.
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    layers = net.named_modules(remove_duplicate=False)
    names = Counter(id(layer) for _, layer in layers)
    pairs = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and len(node.args) == 1 else None
        if isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1:
            pair = str(before.target), str(node.target)
            is_alone = (names[id(net.get_submodule(name))] == 1 for name in pair)
            if all(is_alone) and all(calls[x] == 1 and x not in read for x in pair):
                pairs.append(pair)
    return pairs


def _with_folded_parts(net: nn.Module) -> nn.Module:
    """Replace the plain `nn.Sequential` parts of a network by faster ones, and return it."""
    for name, part in list(net.named_modules()):
        if type(part) is nn.Sequential and not _has_hooks(part):
            part, is_training = _FoldedSequential(part._modules), part.training
            part.training = is_training
            if not name:
                return part
            net.set_submodule(name, part)
    return net


class _FoldedSequential(nn.Sequential):
    """Layers one after the other. Whoever takes one out gets it as it was before folding.

    Args:
        layers: The layers by their names.
    """

    def __init__(self, layers: Mapping[str, nn.Module | None]) -> None:
        super().__init__(OrderedDict((k, v) for k, v in layers.items() if v is not None))
        self._steps = tuple(_folded_steps(self.children()))

    def __getitem__(self, index: slice | int) -> nn.Module:  # type: ignore[override]  # as it is
        """Return a layer, or several as an `nn.Sequential`."""
        return nn.Sequential(*self.children())[index]

    def forward(self, input: Tensor) -> Tensor:
        """Run the layers."""
        for step in self._steps:
            input = step(input)
        return input


def _folded_steps(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    steps = [*layers, nn.Identity()]
    is_folded = False
    for layer, after in pairwise(steps):
        if is_folded:
            is_folded = False
        elif (both := foldable(layer, after)) is not None:
            conv = _copy(both[0])
            assert isinstance(conv, Conv)
            conv.weight, conv.bias = folded_weights(*both)
            is_folded = True
            yield conv
        else:
            yield layer


def _has_hooks(layer: nn.Module) -> bool:
    return any(getattr(layer, hooks) for hooks in _HOOKS)


def _is_changed(layer: nn.Module) -> bool:
    return _has_hooks(layer) or "forward" in vars(layer)


def foldable(conv: nn.Module, norm: nn.Module) -> tuple[Conv, Norm] | None:
    """Return them if they are a convolution and a batch norm with its own statistics."""
    if type(norm) not in _NORMS.get(type(conv), ()):
        return None
    assert isinstance(conv, Conv)
    assert isinstance(norm, Norm)
    means, variances, weight = norm.running_mean, norm.running_var, conv.weight
    tensors = [
        x for x in (weight, conv.bias, norm.weight, norm.bias, means, variances) if x is not None
    ]
    is_plain = (
        not any(map(_is_changed, (conv, norm)))
        and all(type(x) in (nn.Parameter, Tensor) for x in tensors)
        and all(x.dtype == weight.dtype and x.device == weight.device for x in tensors)
        and weight.dtype in (torch.float32, torch.float64)
    )
    has_statistics = not norm.training and means is not None and variances is not None
    return (conv, norm) if is_plain and has_statistics else None


def folded_weights(conv: Conv, norm: Norm) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the weight and the bias of a convolution that does the work of the norm too."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # Not inference tensors, which the compiler does not take for weights.
    with torch.inference_mode(False), torch.no_grad():
        # On the CPU, as not every device has 64 bits.
        old, mean, variance = map(_wide, (conv.weight, norm.running_mean, norm.running_var))
        scale = torch.rsqrt(variance + norm.eps)
        if norm.weight is not None:
            scale = scale * _wide(norm.weight)
        shift = -mean if conv.bias is None else _wide(conv.bias) - mean
        bias = shift * scale if norm.bias is None else shift * scale + _wide(norm.bias)
        weight = old * scale.reshape(-1, *[1] * (old.ndim - 1))
        like = conv.weight
        return (
            nn.Parameter(weight.to(like.device, like.dtype), requires_grad=False),
            nn.Parameter(bias.to(like.device, like.dtype), requires_grad=False),
        )


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to("meta" if tensor.is_meta else "cpu", torch.float64)
