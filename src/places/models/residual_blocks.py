"""The blocks of a ResNet: torchvision's, with what its variants add to them."""

from torch import Tensor, nn
from torchvision.models import resnet


class BasicBlock(resnet.BasicBlock):  # type: ignore[misc]  # torchvision ships no types
    """Two 3x3 convolutions beside a shortcut; arguments and names of weights are torchvision's.

    Attributes:
        blur: What halves the size of the maps after the first convolution, in place of its stride.
        se: What weights the channels before the shortcut is added.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.blur: nn.Module | None = None
        self.se: nn.Module | None = None

    def forward(self, features: Tensor, factor: Tensor | None = None) -> Tensor:
        """Return the features after the block.

        Args:
            features: `(N, C, H, W)`.
            factor: `(N, 1, 1, 1)`, what the branch beside the shortcut is multiplied by.
        """
        branch = self.relu(self.bn1(self.conv1(features)))
        if self.blur is not None:
            branch = self.blur(branch)
        return _joined(self, features, self.bn2(self.conv2(branch)), factor)


class Bottleneck(resnet.Bottleneck):  # type: ignore[misc]  # torchvision ships no types
    """Convolutions 1x1, 3x3 and 1x1 beside a shortcut, as in torchvision.

    Attributes:
        blur: See `BasicBlock`; after the second convolution.
        se: See `BasicBlock`.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.blur: nn.Module | None = None
        self.se: nn.Module | None = None

    def forward(self, features: Tensor, factor: Tensor | None = None) -> Tensor:
        """Return the features after the block, see `BasicBlock`."""
        branch = self.relu(self.bn1(self.conv1(features)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        if self.blur is not None:
            branch = self.blur(branch)
        return _joined(self, features, self.bn3(self.conv3(branch)), factor)


Block = BasicBlock | Bottleneck


def strided_convolution(block: Block) -> nn.Conv2d:
    """Return the 3x3 convolution of a block that carries its stride."""
    conv = block.conv1 if isinstance(block, BasicBlock) else block.conv2
    assert isinstance(conv, nn.Conv2d)
    return conv


def last_norm(block: Block) -> nn.BatchNorm2d:
    """Return the normalisation at the end of the branch of a block."""
    norm = block.bn2 if isinstance(block, BasicBlock) else block.bn3
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _joined(block: Block, features: Tensor, branch: Tensor, factor: Tensor | None) -> Tensor:
    if block.se is not None:
        branch = block.se(branch)
    if factor is not None:
        branch = branch * factor.to(branch.dtype)
    branch += features if block.downsample is None else block.downsample(features)
    result: Tensor = block.relu(branch)
    return result
