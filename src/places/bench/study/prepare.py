"""From a network, a way and a size to a function that runs one batch."""

from collections.abc import Callable

import torch

from places.bench.study.choice import Choice
from places.bench.study.ways import (
    Prepared,
    Way,
    Work,
    noise,
    prepare_inference,
    training_step,
)


def prepared_step(
    choice: Choice,
    way: Way,
    work: Work,
    *,
    batch_size: int,
    image_size: int,
    num_classes: int,
    device: torch.device,
) -> Callable[[], object]:
    """Return a function that runs one batch of a network that is built for it.

    Args:
        choice: The network.
        way: What to do to it.
        work: What to run.
        batch_size: Pictures per batch.
        image_size: Height and width in pixels.
        num_classes: Width of its last layer.
        device: Where to run it.

    Raises:
        Exception: It cannot be run in this way.
    """
    if work == "inference":
        prepared = prepared_network(choice, way, image_size, num_classes, device)
        return inference_step(prepared, batch_size, image_size, device)
    net = choice.build(num_classes, device)
    labels = torch.arange(batch_size, device=device) % num_classes
    return training_step(net, way, noise(batch_size, image_size, device), labels)


def prepared_network(
    choice: Choice, way: Way, image_size: int, num_classes: int, device: torch.device
) -> Prepared:
    """Return a network that is ready to classify, see `prepare_inference`."""
    net = choice.build(num_classes, device).eval().requires_grad_(False)
    return prepare_inference(net, way, image_size, device, torch.get_num_threads())


def inference_step(
    prepared: Prepared, batch_size: int, image_size: int, device: torch.device
) -> Callable[[], object]:
    """Return a function that classifies one batch."""
    images = prepared.pictures(batch_size, image_size, device)

    def step() -> object:
        with torch.inference_mode():
            return prepared.run(images)

    return step
