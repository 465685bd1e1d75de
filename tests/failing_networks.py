"""Networks that can be built and not run, and what is none, for tests."""

import os
import signal
from collections import OrderedDict

from tests.networks import Tiny
from torch import Tensor


class Broken(Tiny):
    """A network that can be built and never run."""

    def forward(self, images: Tensor) -> Tensor:
        """Fail."""
        raise RuntimeError("this network cannot run")


class Deadly(Tiny):
    """A network that takes its process with it, as one does for which there is no memory."""

    def forward(self, images: Tensor) -> Tensor:
        """Be killed."""
        os.kill(os.getpid(), signal.SIGKILL)
        return images


def no_network(num_classes: int) -> OrderedDict[str, int]:
    """Return something else."""
    return OrderedDict(num_classes=num_classes)
