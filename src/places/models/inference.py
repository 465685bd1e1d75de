"""A network as `predict` runs it: batch norms folded, and with what else is wanted of it."""

from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor, nn

from places.models.compiling import CompiledWhereItPays
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
        compile: Whether to compile the network; null decides, see `CompiledWhereItPays`.
        num_batches: Batches that are to come.
    """

    def __init__(
        self,
        net: nn.Module,
        wanted: Collection[str] = (),
        *,
        fold: bool = True,
        compile: bool | None = False,
        num_batches: float = 1,
    ) -> None:
        self.net = folded(net) if fold else net
        self._wanted = wanted
        self._choice = compile
        self._num_batches = num_batches
        self._head: PooledHead | None = None
        self._watched: Watched | None = None
        self._run: CompiledWhereItPays | None = None

    def __call__(self, images: Tensor) -> Answer:
        """Return what the network says of normalised pictures `(N, 3, H, W)`."""
        if self._run is None:
            self._run = self._start(images[:1])
        output = self._run(images)
        if self._head is None:
            return Answer(output)
        seen: Seen = output
        features = seen.features if FEATURES in self._wanted else None
        activation = self._head.activation(seen) if ACTIVATION in self._wanted else None
        return Answer(seen.logits, None if features is None else features.float(), activation)

    def close(self) -> None:
        """Leave the network as it was."""
        if self._watched is not None:
            self._watched.close()

    def _start(self, image: Tensor) -> CompiledWhereItPays:
        self._head = pooled_head(self.net, image) if self._wanted else None
        if self._head is not None:
            self._watched = Watched(self.net, self._head, with_maps=ACTIVATION in self._wanted)
        return CompiledWhereItPays(self._watched or self.net, self._choice, self._num_batches)
