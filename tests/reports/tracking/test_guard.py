from typing import Any

import pytest
from tests.cli.test_logger_parts import Mine

from places.reports.tracking.guard import Guard


class Failing(Mine):
    """A logger whose service is away now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.is_away = False

    def log_metrics(self, metrics: Any, step: Any = None) -> None:  # noqa: ANN401  # Lightning's
        """Log, or fail as code that uses sockets does."""
        if self.is_away:
            raise BrokenPipeError("nobody listens")
        self.seen.append(metrics["loss"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1000.0]
    monkeypatch.setattr("places.reports.tracking.guard.time.monotonic", lambda: now_s[0])
    return now_s


def test_a_failing_logger_is_left_alone_for_a_while_and_told_of(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = Failing()
    finished: list[str] = []
    Guard(logger, finished.append)
    logger.log_metrics({"loss": 1.0})
    logger.is_away = True
    for second in range(0, 200, 20):
        clock[0] = 1000.0 + second
        logger.log_metrics({"loss": 2.0})
    told = capsys.readouterr().err.splitlines()
    # At 0 s, after one minute, and after two more.
    assert told == [
        f"places: Failing failed, the run goes on without it for {pause}: "
        "BrokenPipeError: nobody listens"
        for pause in ("1 minute", "2 minutes", "4 minutes")
    ]
    logger.is_away = False
    logger.log_metrics({"loss": 3.0})  # it is not asked yet
    clock[0] += 240
    logger.log_metrics({"loss": 4.0})
    logger.finalize("success")
    assert logger.seen == [1.0, 4.0]
    assert finished == ["success"]
    assert capsys.readouterr().err.splitlines() == [
        "places: Failing works again; it missed 11 messages",
        "places: Failing missed 11 messages of this run; metrics.csv has all numbers",
    ]


def test_a_logger_that_works_is_never_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    logger = Failing()
    Guard(logger)
    logger.log_metrics({"loss": 1.0})
    logger.finalize("success")
    assert capsys.readouterr().err == ""


def test_signals_pass() -> None:
    logger = Failing()
    guarded = Guard(logger)

    def stop() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        guarded.attempt(stop)
