"""A network as `predict` runs it: batch norms folded, and with what else is wanted of it."""

from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor, nn

from places.models.folded import folded
from places.models.pooled import PooledHead, Seen, Watched, pooled_head

FEATURES, ACTIVATION = "features", "activation"


class Answer(NamedTuple):
    """What a network says of pictures.

    Attributes:
        logits: `(N, num_classes)`.
        features: `(N, D)` float32, the input of the last linear layer; `None` if not wanted, or if
            there is no such layer.
        activation: `(N, h, w)` float32 in 0..1, where the best class was seen; `None` if not
            wanted, or if the network does not average over places.
    """

    logits: Tensor
    features: Tensor | None = None
    activation: Tensor | None = None


class Inference:
    """Runs a network on batches of pictures.

    Args:
        net: The network, in evaluation mode. Not changed, but for hooks that `close` takes away.
        wanted: What is wanted beside logits: "features", "activation", both or nothing.
        fold: Whether to fold batch norms, which changes the logits by rounding.
    """

    def __init__(self, net: nn.Module, wanted: Collection[str] = (), *, fold: bool = True) -> None:
        self.net = folded(net) if fold else net
        self._wanted = wanted
        self._is_ready = not wanted
        self._head: PooledHead | None = None
        self._watched: Watched | None = None

    def __call__(self, images: Tensor) -> Answer:
        """Return what the network says of normalised pictures `(N, 3, H, W)`."""
        if not self._is_ready:
            self._watch(images[:1])
        if self._watched is None or self._head is None:
            return Answer(self.net(images))
        seen: Seen = self._watched(images)
        features = seen.features if FEATURES in self._wanted else None
        activation = self._head.activation(seen) if ACTIVATION in self._wanted else None
        return Answer(seen.logits, None if features is None else features.float(), activation)

    def close(self) -> None:
        """Leave the network as it was."""
        if self._watched is not None:
            self._watched.close()

    def _watch(self, image: Tensor) -> None:
        self._is_ready = True
        self._head = pooled_head(self.net, image)
        if self._head is not None:
            self._watched = Watched(self.net, self._head, with_maps=ACTIVATION in self._wanted)
