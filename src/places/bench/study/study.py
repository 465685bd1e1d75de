"""The study: networks, ways and sizes, prepared, measured in turns, and written as rows."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from places.bench.study.alone import Alone, reason_of
from places.bench.study.choice import Choice
from places.bench.study.energy import Meter
from places.bench.study.layers import kind_rows, profile_step
from places.bench.study.operations import Amounts, count_inference, count_step
from places.bench.study.plan import Candidate, Plan
from places.bench.study.prepare import prepared_step
from places.bench.study.roofline import Roofline
from places.bench.study.rows import candidate_row, network_row
from places.bench.study.turns import time_turn
from places.bench.study.ways import EAGER, Work, noise, way_of
from places.bench.study.workshop import Workshop, give_up
from places.console import Counter
from places.errors import StorageError
from places.models.cost import cost_of

_MEMORY, _PREPARING = 0.3, 0.7  # the parts of `max_s` until which these begin
Kinds = list[dict[str, Any]] | str


def num_steps(plan: Plan) -> int:
    """Return how many parts the measurement has, for its progress."""
    num = len(plan.candidates())
    on_cpu = plan.memory and plan.device.type == "cpu"
    return num * (1 + plan.runs + on_cpu) + len(plan.networks) * len(plan.works)


def measure(
    plan: Plan, roofline: Roofline, meter: Meter | None, counter: Counter
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure everything.

    Args:
        plan: What.
        roofline: Of the machine.
        meter: Tells energy, if the machine does.
        counter: Is advanced by `num_steps` in all.

    Returns:
        What is known of each network, and one row for each candidate, as they are written as JSON.

    Raises:
        StorageError: A trace cannot be written.
    """
    candidates = plan.candidates()
    with _quick_convolutions(plan.device):
        if plan.memory and plan.device.type == "cpu":
            _measure_memory(plan, candidates, counter)
        _prepare(plan, candidates, counter)
        _take_turns(plan, candidates, meter, counter)
        for candidate in candidates:
            candidate.step = None
        networks = []
        for network in plan.networks:
            kinds: dict[str, Kinds] = {}
            whys = [_why_none(candidates, network, work) for work in plan.works]
            for work, why in zip(plan.works, whys, strict=True):
                counter.describe("profiling", f"{network.name}, {work}")
                kinds[work] = why or _kinds_of(plan, network, work, roofline)
                counter.advance(1)
            networks.append(_network_row(plan, network, kinds, None if None in whys else whys[0]))
    return networks, [candidate_row(candidate, candidates) for candidate in candidates]


@contextmanager
def _quick_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN try its algorithms, as one does where all batches have one size."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _measure_memory(plan: Plan, candidates: Iterable[Candidate], counter: Counter) -> None:
    with Alone() as alone:
        for candidate in candidates:
            counter.describe("memory", candidate.title)
            if plan.is_over(_MEMORY):
                counter.advance(1)
                continue
            candidate.memory_bytes, candidate.reason = alone.measure(
                {
                    "network": candidate.network.name,
                    "way": candidate.way.text,
                    "work": candidate.work,
                    "batch_size": candidate.batch_size,
                    "image_size": plan.image_size,
                    "num_classes": plan.num_classes,
                    "num_threads": torch.get_num_threads(),
                }
            )
            counter.advance(1)


def _prepare(plan: Plan, candidates: Iterable[Candidate], counter: Counter) -> None:
    """Make all candidates ready and run them a few times."""
    workshop = Workshop(plan)
    for candidate in candidates:
        counter.describe("preparing", candidate.title)
        if candidate.reason is None and plan.is_over(_PREPARING):
            candidate.reason = "left out: the time of --max_s was over"
        if candidate.reason is None:
            try:
                workshop.prepare(candidate)
            except Exception as error:  # networks, compilers and exporters are code of others
                give_up(candidate, error)
        counter.advance(1)


def _take_turns(
    plan: Plan, candidates: Sequence[Candidate], meter: Meter | None, counter: Counter
) -> None:
    """Time all candidates once in each turn, each turn beginning with another one."""
    for run in range(plan.runs):
        if run and plan.is_over():  # whole turns only: they are compared with each other
            counter.advance((plan.runs - run) * len(candidates))
            return
        start = run * len(candidates) // plan.runs
        for candidate in [*candidates[start:], *candidates[:start]]:
            counter.describe(f"turn {run + 1} of {plan.runs}", candidate.title)
            if candidate.step is not None:
                try:
                    turn = time_turn(candidate.step, plan.turn_s, plan.device, meter)
                    candidate.turns.append(turn)
                except Exception as error:
                    give_up(candidate, error)
            counter.advance(1)


def _why_none(candidates: Iterable[Candidate], network: Choice, work: Work) -> str | None:
    """Return why a network could not be run in any way; it may end the process that tries."""
    same = [x for x in candidates if x.network == network and x.work == work]
    if not same or any(candidate.turns for candidate in same):
        return None
    return same[0].reason


def _network_row(
    plan: Plan, network: Choice, kinds: dict[str, Kinds], why_none: str | None
) -> dict[str, Any]:
    sizes: dict[str, int] = {work: max(plan.sizes(work)) for work in plan.works}
    if why_none is not None:
        return network_row(network, None, kinds, sizes, why_none)
    try:
        cost = cost_of(network.build(plan.num_classes, plan.device), plan.image_size)
    except Exception as error:  # the code of a network may do anything with numbers that it lacks
        return network_row(network, None, kinds, sizes, reason_of(error))
    return network_row(network, cost, kinds, sizes, None)


def _kinds_of(plan: Plan, network: Choice, work: Work, roofline: Roofline) -> Kinds:
    """Return where the time of a plain network goes, or why that is not known."""
    size = max(plan.sizes(work))
    name = re.sub(r"[^\w.-]+", "_", network.name)
    trace = plan.traces / f"{name}-{work}.json" if plan.traces else None
    try:
        step = prepared_step(
            network,
            way_of(EAGER),
            work,
            batch_size=size,
            image_size=plan.image_size,
            num_classes=plan.num_classes,
            device=plan.device,
        )
        times = profile_step(step, plan.device, trace)
        amounts = count_step(step) if work == "training" else _amounts(plan, network, size)
        return kind_rows(times, amounts, roofline)
    except StorageError:
        raise
    except Exception as error:  # the code of a network may do anything
        return reason_of(error)


def _amounts(plan: Plan, network: Choice, batch_size: int) -> Amounts:
    net = network.build(plan.num_classes, plan.device).eval()
    return count_inference(net, noise(batch_size, plan.image_size, plan.device))
