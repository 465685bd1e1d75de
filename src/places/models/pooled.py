"""What goes into the last linear layer of a network, and where in the picture that comes from."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

_AGREE = 1e-3  # of the largest feature: how far the mean of the maps may be from the features


class Seen(NamedTuple):
    """What a network made of pictures.

    Attributes:
        logits: `(N, num_classes)`.
        features: `(N, D)`, the input of the last linear layer; `None` without such a layer.
        maps: `(N, D, h, w)`, of which the features are the mean over h and w; `None` if they are
            no such mean.
    """

    logits: Tensor
    features: Tensor | None = None
    maps: Tensor | None = None


class _Place(NamedTuple):
    """Where a tensor passes by: at the input or the output of a layer."""

    layer: nn.Module
    is_input: bool


class PooledHead(NamedTuple):
    """The last linear layer of a network and what leads to it; made by `pooled_head`.

    Attributes:
        linear: The layer, which returns the logits.
        maps: Where the maps pass by whose mean it takes; `None` if it takes no such mean.
    """

    linear: nn.Linear
    maps: _Place | None

    def activation(self, seen: Seen) -> Tensor | None:
        """Return where in each picture its best class was seen: class activation maps.

        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv
        1512.04150.

        Returns:
            `(N, h, w)` float32, from 0 where least to 1 where most; 0 everywhere if all places are
            alike. `None` if the network averages no maps.
        """
        if seen.maps is None:
            return None
        weights = self.linear.weight[seen.logits.argmax(dim=1)].float()  # (N, D)
        places = torch.einsum("nd,ndhw->nhw", weights, seen.maps.float())
        low, high = places.amin(dim=(1, 2), keepdim=True), places.amax(dim=(1, 2), keepdim=True)
        return (places - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)


def pooled_head(net: nn.Module, images: Tensor) -> PooledHead | None:
    """Find the linear layer that returns the logits, and the maps that are averaged before it.

    They are found by what the network does with pictures, so it may be any: whether the mean is
    taken by a layer, a function or in two steps.

    Args:
        net: The network, in evaluation mode.
        images: Some pictures, as the network takes them; one is enough.

    Returns:
        `None` if the logits come from no linear layer, or from one that sees no `(N, D)`.
    """
    heads: list[tuple[nn.Linear, Tensor, Tensor]] = []
    passing: dict[_Place, Tensor] = {}  # in the order of the last time

    def note(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        first = inputs[0] if inputs else None
        if isinstance(layer, nn.Linear) and isinstance(first, Tensor) and first.ndim == 2:
            assert isinstance(output, Tensor)
            heads.append((layer, first, output))
        for tensor, is_input in ((first, True), (output, False)):
            if isinstance(tensor, Tensor) and tensor.ndim == 4:
                passing.pop(place := _Place(layer, is_input), None)
                passing[place] = tensor

    hooks = [layer.register_forward_hook(note) for layer in net.modules()]
    try:
        logits = net(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not heads or not isinstance(logits, Tensor) or heads[-1][2].shape != logits.shape:
        return None
    linear, features, _ = heads[-1]
    # Compared now: layers may have changed them in place since they passed by.
    found = [place for place, maps in passing.items() if _is_mean(features, maps)]
    return PooledHead(linear, found[-1] if found else None)


def _is_mean(features: Tensor, maps: Tensor) -> bool:
    if maps.shape[:2] != features.shape or maps[0, 0].numel() == 1:  # pooled already
        return False
    expected = features.float()
    share = max(_AGREE, 2 * torch.finfo(features.dtype).eps)
    tolerance = share * expected.abs().amax()
    return bool(((maps.float().mean(dim=(2, 3)) - expected).abs() <= tolerance).all())


class Watched(nn.Module):
    """A network that also returns the input of its last linear layer, and the maps before it.

    Args:
        net: The network; gets hooks, which `close` takes away.
        head: As `pooled_head` found it in this network.
        with_maps: Whether the maps are wanted, which take memory.
    """

    def __init__(self, net: nn.Module, head: PooledHead, *, with_maps: bool) -> None:
        super().__init__()
        self.net = net
        self._passed: dict[str, Tensor] = {}
        places = {"features": _Place(head.linear, is_input=True)}
        if with_maps and head.maps is not None:
            places["maps"] = head.maps
        self._hooks = [self._watch(name, place) for name, place in places.items()]

    def forward(self, images: Tensor) -> Seen:
        """Return what the network makes of pictures."""
        logits = self.net(images)
        return Seen(logits, self._passed.pop("features"), self._passed.pop("maps", None))

    def close(self) -> None:
        """Take the hooks out of the network."""
        for hook in self._hooks:
            hook.remove()

    def _watch(self, name: str, place: _Place) -> torch.utils.hooks.RemovableHandle:
        def before(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._passed[name] = inputs[0]

        def after(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._passed[name] = output

        if place.is_input:
            return place.layer.register_forward_pre_hook(before)
        return place.layer.register_forward_hook(after)
