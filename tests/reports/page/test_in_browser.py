"""The page of a run in a real browser: what its scripts do, and whether everybody can use it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.reports.gallery.browser import CONTRAST, CONTROLS, Watched, needs_browser
from tests.reports.page.test_report import HOSTILE, data_of, spoil

from places.cli.main import main

pytestmark = needs_browser
Scheme = Literal["light", "dark"]


@pytest.fixture
def page(browser: Browser, runs: Path) -> Iterator[Page]:
    """The page of a test, opened."""
    yield from opened(browser, runs / "1" / "report.html")


def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:  # noqa: ANN401  # Playwright's
    """Open a page, and look that it neither complains nor asks for anything."""
    context = browser.new_context(reduced_motion="reduce", **options)
    page = context.new_page()
    watched = Watched(page)
    page.goto(path.as_uri())
    yield page
    assert watched.complaints == []
    assert watched.fetched == {path.as_uri()}
    context.close()


def tip_of(page: Page, plot: str) -> str:
    return page.locator(f"#{plot}-figure .tip").inner_text()


def test_a_pointer_tells_the_values_of_a_curve(page: Page, runs: Path) -> None:
    plot = data_of(runs / "1" / "report.html")["plots"][0]
    svg = page.locator(f"#{plot['id']}")
    svg.scroll_into_view_if_needed()
    box, (left, _, right, _), (low, high) = svg.bounding_box(), plot["box"], plot["x"]
    assert box is not None
    width = page.evaluate(f"document.getElementById('{plot['id']}').viewBox.baseVal.width")
    (series,) = (each for each in plot["series"] if each["name"] == "train/loss")
    for step, value in list(zip(series["x"], series["y"], strict=True))[::4]:
        x = left + (step - low) / (high - low) * (right - left)
        page.mouse.move(box["x"] + x / width * box["width"], box["y"] + box["height"] / 2)
        told = tip_of(page, plot["id"])
        assert f"step {step}" in told
        assert float(told.split("train/loss")[1].split()[0]) == pytest.approx(value, rel=1e-3)
    page.mouse.move(1, 1)
    expect(page.locator(f"#{plot['id']}-figure .tip")).to_be_hidden()


def test_dragging_zooms_and_a_double_click_shows_all(page: Page, runs: Path) -> None:
    plot = data_of(runs / "1" / "report.html")["plots"][0]
    svg = page.locator(f"#{plot['id']}")
    svg.scroll_into_view_if_needed()

    def ticks() -> list[float]:
        texts = page.locator(f"#{plot['id']} text[text-anchor=middle]:visible").all_text_contents()
        return [float(text) for text in texts if text.replace(".", "").isdecimal()]

    def path() -> str:
        drawn = page.locator(f"#{plot['id']}-curve-0 path").first
        return drawn.get_attribute("d") or ""

    before, box = path(), svg.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.4 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=3)
    page.mouse.up()
    assert path() != before
    low, high = plot["x"]
    shown = [tick for tick in ticks() if low <= tick <= high]
    assert len(shown) >= 3
    assert low + 0.2 * (high - low) < min(shown) < max(shown) < high - 0.2 * (high - low)
    svg.dblclick()
    assert path() == before
    page.locator(f"#{plot['id']}-figure [data-do=in]").click()
    assert path() != before
    page.locator(f"#{plot['id']}-figure [data-do=all]").click()
    assert path() == before


def test_curves_are_read_with_the_keyboard(page: Page, runs: Path) -> None:
    plot = data_of(runs / "1" / "report.html")["plots"][0]
    longest = max(plot["series"], key=lambda each: len(each["x"]))
    page.locator(f"#{plot['id']}").focus()
    for step in longest["x"][:3]:
        page.keyboard.press("ArrowRight")
        assert f"step {step}" in tip_of(page, plot["id"])
    page.keyboard.press("ArrowLeft")
    assert f"step {longest['x'][1]}" in tip_of(page, plot["id"])
    page.keyboard.press("End")
    assert f"step {longest['x'][-1]}" in tip_of(page, plot["id"])
    drawn = page.locator(f"#{plot['id']}-curve-0")
    whole = drawn.inner_html()
    page.keyboard.press("+")
    assert drawn.inner_html() != whole
    page.keyboard.press("Escape")
    assert drawn.inner_html() == whole
    expect(page.locator(f"#{plot['id']}-figure .tip")).to_be_hidden()


def test_categories_are_sorted_and_searched(page: Page, runs: Path) -> None:
    result = json.loads((runs / "1" / "result.json").read_text())
    rows = [row for row in result["categories"] if row["num_images"]]
    table = page.locator("#category-table tbody")

    def names() -> list[str]:
        return [name for name in table.locator("tr:visible th").all_inner_texts() if name]

    page.get_by_role("button", name="category").click()
    assert names() == sorted(row["category"] for row in rows)
    page.get_by_role("button", name="was the answer").click()
    ordered = sorted(rows, key=lambda row: (row["num_predicted"], row["category"]), reverse=True)
    assert names() == [row["category"] for row in ordered]
    expect(page.locator("[aria-sort]")).to_have_attribute("aria-sort", "descending")
    word = rows[0]["category"].replace("_", " ")[:5]
    page.fill("#search", word)
    found = [r["category"] for r in ordered if word in r["category"].replace("_", " ")]
    assert names() == found
    expect(page.locator("#found")).to_have_text(f"{len(found)} of {len(rows)} categories")
    page.fill("#search", "no such place")
    assert names() == []


def test_cells_of_the_matrix_are_told(page: Page, runs: Path) -> None:
    block = data_of(runs / "1" / "report.html")["block"]
    row = max(range(len(block["names"])), key=lambda n: sum(block["counts"][n]))
    column = max(range(len(block["names"])), key=lambda n: block["counts"][row][n])
    page.locator(f"#plot-confusion-cell-{row}-{column}").hover()
    number, whole = block["counts"][row][column], sum(block["counts"][row])
    expect(page.locator("#cell")).to_contain_text(f"{block['names'][row]}: {number} of {whole}")
    page.locator("#plot-confusion").focus()
    page.keyboard.press("ArrowDown" if row == 0 else "ArrowUp")
    expect(page.locator("#cell")).not_to_contain_text(f"{block['names'][row]}: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everybody_can_read_and_use_it(
    browser: Browser, runs: Path, scheme: Scheme, width: int
) -> None:
    size = {"width": width, "height": 800}
    for page in opened(browser, runs / "1" / "report.html", viewport=size, color_scheme=scheme):
        for summary in page.locator("summary").all():
            summary.click()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, background[4:-1].split(",")))
        assert (brightness > 600) == (scheme == "light")
        contrasts = page.evaluate(CONTRAST)
        assert len(contrasts) > 300
        assert [text for ratio, text in contrasts if ratio < 4.5] == []
        controls = page.evaluate(CONTROLS)
        assert [control["html"] for control in controls if not control["name"]] == []
        small = [
            control["html"]
            for control in controls
            if min(control["width"], control["height"]) < 24 and not control["isInline"]
        ]
        assert small == [], "WCAG 2.2, 2.5.8"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        structure = page.evaluate(
            """() => ({ lang: document.documentElement.lang,
              headings: [...document.querySelectorAll("h1, h2, h3")].map((h) => +h.tagName[1]),
              ids: [...document.querySelectorAll("[id]")].map((e) => e.id),
              images: [...document.querySelectorAll("[role=img], img")]
                .filter((image) => !image.ariaLabel && !image.alt).length,
              landmarks: ["header", "main", "footer", "nav"]
                .filter((name) => document.querySelectorAll(name).length === 1),
              cut: [...document.querySelectorAll("svg text")].filter((text) => {
                const own = text.getBoundingClientRect();
                const all = text.closest("svg").getBoundingClientRect();
                return own.right > all.right + 2 || own.left < all.left - 2
                  || own.bottom > all.bottom + 2 || own.top < all.top - 2;
              }).map((text) => text.textContent),
            })"""
        )
        assert structure["lang"] == "en"
        assert structure["headings"][:2] == [1, 2]
        assert set(structure["headings"][1:]) == {2, 3}
        assert len(structure["ids"]) == len(set(structure["ids"]))
        assert structure["images"] == 0
        assert structure["landmarks"] == ["header", "main", "footer", "nav"]
        assert structure["cut"] == []


def test_a_keyboard_reaches_all_and_sees_where_it_is(page: Page) -> None:
    seen = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => { const style = getComputedStyle(document.activeElement);
              return [document.activeElement.outerHTML.slice(0, 60),
                style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2]; }"""
        )
        if at[0].startswith("<body"):
            break
        assert at[1], at[0]
        seen.add(at[0])
    expected = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, summary, svg[tabindex]")]
          .filter((element) => element.checkVisibility())
          .map((element) => element.outerHTML.slice(0, 60))"""
    )
    assert set(expected) <= seen


def test_colours_can_be_chosen(page: Page) -> None:
    def colours() -> list[str]:
        found: list[str] = page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
              getComputedStyle(document.querySelector("#plot-0-curve-0 path")).stroke]"""
        )
        return found

    light = colours()
    page.click("#theme")
    assert colours() == light
    page.click("#theme")
    expect(page.locator("#theme")).to_have_text("Colours: Dark")
    assert all(one != other for one, other in zip(colours(), light, strict=True))


def test_on_paper_all_is_shown_and_no_control(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    for control in (".parts", ".tools", ".zoom", "#theme", "summary"):
        expect(page.locator(control).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut_off = page.locator(".tall").evaluate("(box) => box.scrollHeight - box.clientHeight")
    assert cut_off <= 1


def test_without_its_script_a_page_still_shows_all(browser: Browser, runs: Path) -> None:
    for page in opened(browser, runs / "1" / "report.html", java_script_enabled=False):
        expect(page.locator("#plot-0")).to_be_visible()
        expect(page.locator("#category-table tbody tr").first).to_be_visible()
        expect(page.locator(".zoom").first).to_be_hidden()
        expect(page.locator("#search")).to_be_hidden()


@pytest.mark.slow
def test_names_from_outside_run_nothing(browser: Browser, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs" / "fit")
    folder = tmp_path / "runs" / "fit" / "1"
    spoil(folder)
    words = ["report", str(folder), str(tmp_path / "runs" / "fit" / "2"), "--file", "two.html"]
    assert main(["report", str(folder)]) == main(words) == 0
    for path in (folder / "report.html", tmp_path / "two.html"):
        for page in opened(browser, path):
            page.mouse.move(300, 300)
            for plot in data_of(path)["plots"]:
                page.locator(f"#{plot['id']}").focus()
                page.keyboard.press("ArrowRight")
                page.keyboard.press("+")
            assert page.evaluate("document.querySelectorAll('script, img[src=x]').length") == 2
            assert HOSTILE[:20] in page.locator("body").inner_text()
