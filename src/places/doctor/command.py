"""`places doctor`: looks at packages, processors, limits, disks and data, and says what to type."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from places.checkpoints.runs import RUNS
from places.console import counted, printable, put
from places.doctor.finding import Finding


def doctor(root: Path = Path("data/sample"), json: bool = False) -> int:
    """Say whether this machine is ready to train, and what to type where it is not.

    Nothing is changed, and nothing is asked over the network. The exit status is 1 if something
    is wrong.

    Args:
        root: Folder with shards, as `data.root` of a recipe names it.
        json: Print JSON: a list of topic, seen, problem and remedy.
    """
    findings = list(_findings(root))
    problems = [finding for finding in findings if finding.problem]
    if json:
        put(_as_json(findings))
        return 1 if problems else 0
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        mark = "x " if finding.problem else "  "
        put(printable(f"{mark}{finding.topic:<{width}}  {finding.seen}"))
        if finding.problem:
            put(printable(f"  {'':<{width}}  wrong: {finding.problem}"))
            put(printable(f"  {'':<{width}}  type:  {finding.remedy}"))
    put(
        f"\n{counted(len(problems), 'thing is', 'things are')} wrong"
        if problems
        else "\nall is well"
    )
    return 1 if problems else 0


def _findings(root: Path) -> Iterator[Finding]:
    from places.doctor.decoding import decoding_findings
    from places.doctor.machine import core_findings, gpu_findings, limit_findings
    from places.doctor.packages import package_findings
    from places.doctor.services import wandb_findings
    from places.doctor.storage import data_findings, runs_findings

    environment = dict(os.environ)
    yield from package_findings()
    yield from core_findings(environment)
    yield from gpu_findings()
    yield from decoding_findings()
    yield from limit_findings()
    yield from data_findings(root)
    yield from runs_findings(RUNS)
    yield from wandb_findings(environment, Path.home())


def _as_json(findings: list[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2)
