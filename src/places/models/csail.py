"""The networks beside ResNet of which CSAIL publishes weights for Places365, laid out as there."""

import torchvision
from torch import nn

from places.models.folded import folded_for_inference
from places.models.resnet import ResNet


class AlexNet(torchvision.models.AlexNet):  # type: ignore[misc]  # torchvision ships no types
    """AlexNet with one tower of Krizhevsky 2014.

    Paper: "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997; the
    network of 2012 without its two halves and its local normalisation. Names and shapes of the
    weights are torchvision's and CSAIL's.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 63 or more (224 in the paper), and
    returns logits `(N, num_classes)`. Parameters at 365 classes: 58.5 M, of them 54.5 M in the
    first two of three linear layers.

    Args:
        num_classes: Number of categories, the width of the last layer `classifier.6`.
        dropout: Probability of dropping a unit before each of the first two linear layers.
    """

    def __init__(self, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__(num_classes, dropout)

    def folded(self) -> nn.Module:
        """Return the same network for inference; it has no batch norms to fold."""
        return folded_for_inference(self)


class DenseNet161(torchvision.models.DenseNet):  # type: ignore[misc]  # torchvision ships no types
    """Densely connected network of Huang et al. 2016, with 161 layers and 48 channels for each.

    Paper: "Densely Connected Convolutional Networks", arXiv 1608.06993. Names and shapes of the
    weights are torchvision's.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 32 or more (224 in the paper), and
    returns logits `(N, num_classes)`. Parameters at 365 classes: 27.3 M.

    Args:
        num_classes: Number of categories, the width of the last layer `classifier`.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            growth_rate=48,
            block_config=(6, 12, 36, 24),
            num_init_features=96,
            num_classes=num_classes,
        )

    def folded(self) -> nn.Module:
        """Return the same network for inference.

        Half of its batch norms come before a convolution, with a ReLU between them: they stay.
        """
        return folded_for_inference(self)


class WideResNet18(ResNet):
    """CSAIL's ResNet-18 without max pooling: maps of twice the height and width throughout.

    Its last maps are 14x14 for pictures of 224, which makes finer class activation maps for about
    four times the arithmetic. "Wide" is CSAIL's word for it (Zhou et al. 2017, "Places: A 10
    Million Image Database for Scene Recognition", IEEE TPAMI); it is not that of Zagoruyko &
    Komodakis. Names and shapes of the weights are those of a plain ResNet-18. CSAIL's averages
    14x14 maps, and so takes 224 pixels only; this one averages maps of any size.

    Args:
        num_classes: Number of categories, the width of the last layer `fc`.
        checkpoint_gradients: See `ResNet`.
    """

    def __init__(self, num_classes: int, checkpoint_gradients: bool = False) -> None:
        super().__init__(num_classes, depth=18, checkpoint_gradients=checkpoint_gradients)
        self.maxpool: nn.Module = nn.Identity()
