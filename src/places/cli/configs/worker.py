"""Resolves recipes, in this process or as a program of its own with the code of another revision.

As a program it reads requests from stdin, one in a line as JSON, and answers on a file descriptor.
It is run with an older `places` on its path, so it asks of it only `resolve`, which has been there
from the start, and does without the rest.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what is asked.

    Args:
        request: `stage`, `files` and `flags` for the config of recipes; or `net`, `num_classes` and
            `image_size` for what a network costs.

    Returns:
        `config` or `cost`, or `problem` in lines.
    """
    try:
        if "net" in request:
            return {"cost": _cost(request)}
        from places.cli.resolve import resolve

        flags = [word for file in request["files"] for word in ("--config", file)]
        return {"config": resolve([request["stage"], *flags, *request["flags"]])}
    except Exception as error:
        return {"problem": _in_lines(error)}
    except SystemExit as error:
        if type(error) is not SystemExit and type(error).__name__ == "Stopped":
            raise
        return {"problem": [str(getattr(error, "message", error))]}


def _in_lines(error: Exception) -> list[str]:
    if type(error).__module__ == "places.errors":
        return str(error).splitlines()
    return [f"{type(error).__name__}: {error}".strip().splitlines()[0]]


def _cost(request: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of parameters, and of multiply-adds for one picture forward."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from places.config.build import build

    spec = request["net"]
    arguments = spec.get("init_args") or {}
    if any("pretrained" in name and value for name, value in arguments.items()):
        raise ValueError("it would be downloaded")
    names = {text for text in _texts(spec) if "." in text}
    trusted = names | {name.partition(".")[0] for name in names}
    size = request["image_size"]
    with torch.device("meta"), torch.no_grad():  # has shapes and no numbers
        net = build(
            "model.net", spec, trusted, Path("the recipe"), (request["num_classes"],)
        ).eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, size, size))
    num = sum(parameter.numel() for parameter in net.parameters())
    return {"parameters": num, "multiply_adds": counter.get_total_flops() // 2}


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _serve(descriptor: int, log: int) -> None:
    os.dup2(log, 2)  # what libraries warn of there is of no use here
    with os.fdopen(descriptor, "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            json.dump(answer(json.loads(line)), answers, default=str)
            answers.write("\n")
            answers.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        _serve(*map(int, sys.argv[1:]))
