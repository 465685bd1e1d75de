"""A real browser for tests of pages: Debian's chromium, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@contextmanager
def started() -> Iterator[Browser]:
    """Start a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS.split())
        yield browser
        browser.close()


class Watched:
    """What a page says and asks for: its errors, and addresses other than its own."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.fetched: set[str] = set()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._add(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def _add(self, url: str) -> None:
        if not url.startswith("data:"):
            self.fetched.add(url.partition("#")[0])


# The parts of axe that matter here, computed by hand: W3C's WCAG 2.2 says how.
CONTRAST = r"""() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, n) => part * a + below[n] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map(
      (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, two) => {
    const [high, low] = [light(one), light(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  const check = (element, text, style) => {
    const background = behind(element);
    found.push([ratio(over(parse(style.color), background), background), text.trim().slice(0, 40)]);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest("script, noscript, option")) continue;
    const own = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    for (const node of own) check(element, node.data, getComputedStyle(element));
    if (element.placeholder) {
      check(element, element.placeholder, getComputedStyle(element, "::placeholder"));
    }
    if (element.matches("select")) check(element, "select", getComputedStyle(element));
  }
  return found;
}"""
CONTROLS = """() => [...document.querySelectorAll("a[href], button, input, select, summary")]
  .filter((element) => element.checkVisibility())
  .map((element) => {
    const by = element.getAttribute("aria-labelledby");
    const box = element.getBoundingClientRect();
    const name = element.getAttribute("aria-label")
      || (by && document.getElementById(by)?.textContent)
      || element.labels?.[0]?.textContent
      || (element.matches("input, select") ? "" : element.textContent);
    return {
      name: name.trim(), html: element.outerHTML.slice(0, 80),
      width: box.width, height: box.height, isInline: element.matches("p a, li a, h3 a, .skip"),
    };
  })"""
FOCUS = """() => {
  const element = document.activeElement;
  const shown = element.matches("input[type=radio]") ? element.nextElementSibling : element;
  const style = getComputedStyle(shown);
  return {
    id: element.id, classes: element.className, name: element.getAttribute("name"),
    text: (element.getAttribute("aria-label") || element.textContent).slice(0, 60),
    isVisible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      // What lies above the canvases of a thumbnail, which hide its outline.
      && (!element.matches(".thumb")
        || parseFloat(getComputedStyle(element, "::after").borderTopWidth) >= 2),
  };
}"""
