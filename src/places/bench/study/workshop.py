"""Makes candidates ready for the clock: built, warmed up, compared with the plain network."""

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from places.bench.study.alone import reason_of
from places.bench.study.choice import Choice
from places.bench.study.plan import Candidate, Plan
from places.bench.study.prepare import inference_step, prepared_network, prepared_step
from places.bench.study.ways import Prepared, noise

_NUM_WARM_UP = 2  # batches before the first turn: compilers, algorithms that are tried
_NUM_COMPARED = 4  # pictures


@dataclass(frozen=True)
class _Shared:
    """A network that several batch sizes share, and the bytes that it alone takes on a GPU."""

    prepared: Prepared
    num_bytes: int


class Workshop:
    """Prepares candidates, one network after the other.

    How far a way of inference is from the plain network is the largest difference of their logits
    on a few pictures of noise, as a share of the largest logit.

    Args:
        plan: What is measured.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._plain: tuple[str, nn.Module] | None = None  # the plain network of the last candidate

    def prepare(self, candidate: Candidate) -> None:
        """Let a candidate have its step, its memory on a GPU, and its difference.

        Raises:
            Exception: It cannot be run; whatever its code, a compiler or an exporter raises.
        """
        device = self._plan.device
        gc.collect()  # what is freed from here on would count as less
        before = _allocated(device)
        earlier_bytes = 0  # of the network, if an earlier candidate brought it
        if candidate.work == "inference":
            known = self._shared.get((candidate.network.name, candidate.way.text))
            earlier_bytes = known.num_bytes if known else 0
            shared = known or self._of(candidate)
            step = inference_step(
                shared.prepared, candidate.batch_size, self._plan.image_size, device
            )
        else:
            step = prepared_step(
                candidate.network,
                candidate.way,
                candidate.work,
                batch_size=candidate.batch_size,
                image_size=self._plan.image_size,
                num_classes=self._plan.num_classes,
                device=device,
            )
        for _ in range(_NUM_WARM_UP):
            step()
        if device.type == "cuda":
            own_bytes = _allocated(device) - before + earlier_bytes
            peak_bytes = _peak_bytes(step, device)
            candidate.memory_bytes = own_bytes + peak_bytes if self._plan.memory else None
        if candidate.work == "inference":
            candidate.difference = self._difference(candidate, step())
        candidate.step = step

    def _of(self, candidate: Candidate) -> _Shared:
        key = candidate.network.name, candidate.way.text
        if key not in self._shared:
            before = _allocated(self._plan.device)
            prepared = prepared_network(
                candidate.network,
                candidate.way,
                self._plan.image_size,
                self._plan.num_classes,
                self._plan.device,
            )
            self._shared[key] = _Shared(prepared, _allocated(self._plan.device) - before)
        return self._shared[key]

    def _difference(self, candidate: Candidate, logits: object) -> float | None:
        if not isinstance(logits, Tensor):
            return None
        plan = self._plan
        images = noise(candidate.batch_size, plan.image_size, plan.device)[:_NUM_COMPARED]
        with torch.inference_mode():
            expected = self._plain_net(candidate.network)(images).float()
        found = logits[:_NUM_COMPARED].float().to(expected.device)
        difference = float((found - expected).abs().max() / expected.abs().max())
        return difference if difference == difference else None  # NaN: a network without numbers

    def _plain_net(self, network: Choice) -> nn.Module:
        if self._plain is None or self._plain[0] != network.name:
            net = network.build(self._plan.num_classes, self._plan.device).eval()
            self._plain = network.name, net
        return self._plain[1]


def give_up(candidate: Candidate, error: BaseException) -> None:
    """Keep why a candidate cannot be measured, and free what it took."""
    candidate.reason, candidate.step = reason_of(error), None
    candidate.turns.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _allocated(device: torch.device) -> int:
    """Return the bytes of all tensors on a GPU that somebody still holds."""
    if device.type != "cuda":
        return 0
    gc.collect()  # what holds itself in a circle would go later, and be missed then
    torch.cuda.synchronize(device)
    return torch.cuda.memory_allocated(device)


def _peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Return how much more a GPU holds during a step than before it."""
    torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - start
