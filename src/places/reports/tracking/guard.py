"""A logger that fails in the middle of a run: the run goes on, and the user is told."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch.loggers import Logger

from places.console import counted, say

_FIRST_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 3600.0
# All that Lightning asks of a logger during a run.
_METHODS = ("log_metrics", "log_hyperparams", "log_graph", "save", "after_save_checkpoint")


class Guard:
    """Lets a run go on when a logger fails, and says so.

    A service may be away for a while, and asking it may take long: it is asked again after a
    minute, then after two and so on, once an hour at last. What it missed is in `metrics.csv`,
    which is never guarded: without that a run has no record.

    Args:
        logger: The logger; what Lightning calls of it is replaced by what cannot fail.
        finish: Called after its `finalize`, with "success" or "failed".
    """

    def __init__(self, logger: Logger, finish: Callable[[str], None] | None = None) -> None:
        self.logger = logger
        self._name = type(logger).__name__
        self._pause_s, self._until_s = _FIRST_PAUSE_S, 0.0
        self._num_missed = 0
        for name in _METHODS:
            setattr(logger, name, partial(self.attempt, getattr(logger, name)))
        finalize = logger.finalize
        logger.finalize = partial(self._finalize, finalize, finish)  # type: ignore[method-assign]  # it offers no other way

    def attempt(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # passed on
        """Call a function that asks the logger for something; `None` if that fails."""
        if time.monotonic() < self._until_s:
            self._num_missed += 1
            return None
        try:
            answer = call(*args, **kwargs)
        except Exception as error:  # of a network, a disk, or the library of a service
            self._fails(error)
            return None
        if self._until_s:
            say(f"{self._name} works again; it missed {counted(self._num_missed, 'message')}")
            self._pause_s, self._until_s = _FIRST_PAUSE_S, 0.0
        return answer

    def _fails(self, error: Exception) -> None:
        self._num_missed += 1
        self._until_s = time.monotonic() + self._pause_s
        minutes = counted(round(self._pause_s / 60), "minute")
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        reason = str(error).strip().partition("\n")[0]
        say(
            f"{self._name} failed, the run goes on without it for {minutes}: "
            f"{type(error).__name__}: {reason}"
        )

    def _finalize(
        self,
        finalize: Callable[[str], None],
        finish: Callable[[str], None] | None,
        status: str = "success",
    ) -> None:
        self._until_s = 0.0  # the last chance
        self.attempt(finalize, status)
        if finish is not None:
            self.attempt(finish, status)
        if self._num_missed:
            missed = counted(self._num_missed, "message")
            say(f"{self._name} missed {missed} of this run; metrics.csv has all numbers")
