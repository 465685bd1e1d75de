"""Random damage: of bytes, and of nested values."""

import copy
import random
from typing import Any

ODD_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, -0.0),
    *(
        float("nan"),
        float("inf"),
        "",
        " ",
        "a",
        "../up",
        "/etc/passwd",
        "\x1b[31m",
        "a\0b",
        "\udcff",
    ),
    *("os.system", "torch.hub.load", "torch.nn.Linear", "x" * 5000, "{epoch}", "~", "1", "null"),
    *([], [[]], [[[[]]]], {}, {"a": 1}, {"class_path": "os.system"}, [1, "a", None], b"bytes"),
)


def damage_bytes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return a kind of damage, and the bytes with it."""
    position, other = rng.randrange(len(data)), rng.randrange(len(data))
    end = min(len(data), position + rng.choice([1, 2, 8, 64, 512]))
    before, part, after = data[:position], data[position:end], data[end:]
    flipped = bytes([part[0] ^ 1 << rng.randrange(8)]) + part[1:]
    odd = bytes([rng.choice([0, 1, 0x2E, 0x2F, 0x30, 0x37, 0x7F, 0x80, 0xFF])]) + part[1:]
    kinds = {
        "bit": before + flipped + after,
        "byte": before + odd + after,
        "cut": before,
        "zeros": before + bytes(len(part)) + after,
        "noise": before + rng.randbytes(len(part)) + after,
        "gone": before + after,
        "twice": before + part + part + after,
        "moved": data[:other] + part + data[other + len(part) :],
        "added": data + rng.randbytes(rng.choice([1, 511, 512, 4096])),
    }
    kind = rng.choice(list(kinds))
    return kind, kinds[kind]


def damage_value(rng: random.Random, value: Any) -> tuple[str, Any]:  # noqa: ANN401  # any
    """Return a kind of damage, and a copy of nested tables and lists with it at one place."""
    changed = copy.deepcopy(value)
    place, key = _place(rng, changed)
    if key is None:
        return "nothing", changed
    kind = rng.choice(["odd", "odd", "odd", "gone", "added", "text", "nested"])
    if kind == "gone":
        del place[key]
    elif kind == "added" and isinstance(place, dict):
        place[rng.choice(["gone", "", "__path__", "class_path", "a.b"])] = rng.choice(ODD_VALUES)
    elif kind == "text":
        place[key] = str(place[key])[:200]
    elif kind == "nested":
        place[key] = rng.choice([[place[key]], {"a": place[key]}])
    else:
        place[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return kind, changed


def _place(rng: random.Random, value: Any) -> tuple[Any, Any]:  # noqa: ANN401  # any
    """Walk down from a value; return where that ended, and a key or position there."""
    keys = list(value) if isinstance(value, dict) else []
    keys = list(range(len(value))) if isinstance(value, list) else keys
    if not keys:
        return value, None
    key = rng.choice(keys)
    inner = value[key]
    if isinstance(inner, dict | list) and inner and rng.random() < 0.85:
        return _place(rng, inner)
    return value, key
