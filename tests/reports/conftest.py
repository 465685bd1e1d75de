"""One browser at a time for all tests of pages: Playwright refuses a second in one process."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.reports.gallery.browser import CHROMIUM, started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, closed after each module: while one is open no other loop of asyncio can run."""
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with started() as browser:
        yield browser
