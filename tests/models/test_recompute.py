import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import VGG, ResNet
from places.models.recompute import recomputed

NETS: list[Callable[..., nn.Module]] = [
    partial(ResNet, 10, depth=18),
    partial(ResNet, 10, depth=50),
    partial(VGG, 10, depth=11),
]


def _pair(make: Callable[..., nn.Module]) -> tuple[nn.Module, nn.Module]:
    plain, recomputing = make(), make(checkpoint_gradients=True)
    for net in (plain, recomputing):
        if isinstance(net, VGG):  # whose own is 100 times larger than the rest
            net.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(512 * 7 * 7, 10))
    recomputing.load_state_dict(plain.state_dict())
    return plain, recomputing


def _pictures(seed: int) -> Tensor:
    return torch.randn(3, 3, 33, 40, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", NETS, ids=["resnet18", "resnet50", "vgg11"])
def test_gradients_and_statistics_are_the_same_to_the_last_bit(
    make: Callable[..., nn.Module],
) -> None:
    nets = _pair(make)
    for net in nets:
        for step in range(2):
            torch.manual_seed(step)  # of the dropout
            loss = F.cross_entropy(net(_pictures(step)), torch.tensor([1, 2, 3]))
            torch.autograd.backward(loss)
    plain, recomputing = nets
    for (name, one), other in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad), name
    for (name, first), second in zip(plain.named_buffers(), recomputing.buffers(), strict=True):
        assert torch.equal(first, second), name


def test_a_norm_without_momentum_counts_a_batch_once() -> None:
    nets = _pair(NETS[0])
    for net in nets:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        for step in range(3):
            torch.autograd.backward(net(_pictures(step)).sum())
    for one, other in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("index", "part"), [(0, 0.6), (1, 0.4), (2, 0.2)])
def test_the_inside_of_blocks_is_not_kept(index: int, part: float) -> None:
    sizes = []
    for net in _pair(NETS[index]):
        kept: dict[int, int] = {}

        def pack(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = net(_pictures(0))
        for parameter in net.parameters():
            kept.pop(parameter.untyped_storage().data_ptr(), None)
        sizes.append(sum(kept.values()))
        del output
    assert sizes[1] < part * sizes[0]


def test_evaluation_is_unchanged() -> None:
    plain, recomputing = (net.eval() for net in _pair(NETS[0]))
    with torch.no_grad():
        assert torch.equal(plain(_pictures(0)), recomputing(_pictures(0)))


def test_training_without_gradients_works() -> None:
    plain, recomputing = _pair(NETS[0])
    with torch.no_grad():
        assert torch.equal(plain(_pictures(0)), recomputing(_pictures(0)))
    for one, other in zip(plain.buffers(), recomputing.buffers(), strict=True):
        assert torch.equal(one, other)


class Blocks(nn.Module):
    """Two blocks with batch norm: little to compile."""

    def __init__(self, checkpoint_gradients: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU()) for _ in range(2)
        )
        self._checkpoint_gradients = checkpoint_gradients

    def forward(self, images: Tensor) -> Tensor:
        for block in self.blocks:
            images = recomputed(block, images) if self._checkpoint_gradients else block(images)
        return images


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_it_works_in_a_compiled_network() -> None:
    plain, recomputing = _pair(Blocks)
    recomputing.compile(dynamic=False)
    for net in (plain, recomputing):
        torch.autograd.backward(net(_pictures(0)).square().mean())
    for one, other in zip(plain.buffers(), recomputing.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    for left, right in zip(plain.parameters(), recomputing.parameters(), strict=True):
        assert left.grad is not None
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-4)
