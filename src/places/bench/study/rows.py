"""What was measured, as it is written: numbers and words that JSON can hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from places.bench.study.choice import Choice
from places.bench.study.plan import Candidate
from places.bench.study.turns import percentiles_ms, quartiles
from places.bench.study.ways import EAGER
from places.models.cost import Cost


def network_row(
    network: Choice,
    cost: Cost | None,
    kinds: Mapping[str, list[dict[str, Any]] | str],
    sizes: Mapping[str, int],
    reason: str | None,
) -> dict[str, Any]:
    """Return what is known of a network.

    Args:
        network: The network.
        cost: Its parameters and multiply-adds, if they are known.
        kinds: For each kind of work the rows of `kind_rows`, or why there are none.
        sizes: For each kind of work the batch size of these rows.
        reason: Why its cost is not known, if it is not.
    """
    return {
        "name": network.name,
        "class_path": network.class_path,
        "init_args": {key: _in_json(value) for key, value in network.init_args.items()},
        "paper": network.paper,
        **(dict.fromkeys(Cost._fields) if cost is None else cost._asdict()),
        "layers": {
            work: {
                "batch_size": sizes[work],
                **({"rows": [], "reason": rows} if isinstance(rows, str) else {"rows": rows}),
            }
            for work, rows in kinds.items()
        },
        "reason": reason,
    }


def candidate_row(candidate: Candidate, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return what was measured of a candidate; of the others it is compared with the plain one."""
    turns, size = candidate.turns, candidate.batch_size
    row: dict[str, Any] = {
        "network": candidate.network.name,
        "way": candidate.way.text,
        "work": candidate.work,
        "batch_size": size,
        "reason": candidate.reason,
        "runs": len(turns),
        "batches": sum(len(turn.latencies_s) for turn in turns),
        "images_per_s": None,
        "latency_ms": None,
        "against_eager": None,
        "joules_per_image": None,
        "peak_memory_bytes": candidate.memory_bytes,
        "logit_difference": candidate.difference,
    }
    if not turns:
        return row
    joules = [x.joules_per_batch / size for x in turns if x.joules_per_batch is not None]
    row["images_per_s"] = {
        **quartiles([turn.batches_per_s * size for turn in turns]),
        "turns": [turn.batches_per_s * size for turn in turns],
    }
    row["latency_ms"] = percentiles_ms(turns)
    row["joules_per_image"] = quartiles(joules) if joules else None
    eager = next((other for other in candidates if _is_eager_of(other, candidate)), None)
    if eager is not None and eager.turns:
        pairs = zip(turns, eager.turns, strict=True)
        row["against_eager"] = quartiles([x.batches_per_s / y.batches_per_s for x, y in pairs])
    return row


def _is_eager_of(other: Candidate, candidate: Candidate) -> bool:
    same = (other.network.name, other.work, other.batch_size) == (
        candidate.network.name,
        candidate.work,
        candidate.batch_size,
    )
    return same and other.way.text == EAGER


def _in_json(value: object) -> object:
    return value if isinstance(value, bool | int | float | str | None) else str(value)
