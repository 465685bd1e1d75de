"""One browser at a time for all tests of pages: Playwright refuses a second in one process."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the other tests here run where there is no Playwright, too
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A browser, closed after each module: while one is open no other loop of asyncio can run."""
    from tests.reports.gallery.browser import CHROMIUM, started

    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with started() as browser:
        yield browser
