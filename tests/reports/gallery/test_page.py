"""The page in a real browser: what people do with it, and what it has to be for all of them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.reports.gallery.browser import (
    CONTRAST,
    CONTROLS,
    FOCUS,
    Watched,
    needs_browser,
)
from tests.reports.gallery.drawn import LABELS, answer, colour_of, failure, page_of, rows
from tests.reports.gallery.embedded import HOSTILE

from places.categories import load_categories
from places.console import printable
from places.reports.prediction_row import PredictionRow

pytestmark = needs_browser
PER_PAGE = 60
Scheme = Literal["light", "dark"]
CONTENT = rows(150)
NAMES = load_categories()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 150 pictures, of which every tenth could not be read."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "predictions.csv").touch()
    table = folder / "predictions.csv"
    return page_of(folder / "gallery.html", CONTENT, network="Tiny", checkpoint="a", table=table)


@pytest.fixture
def page(browser: Browser, gallery: Path) -> Iterator[Page]:
    """The page, opened from the disk; at the end nothing was complained about or fetched."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    watched = Watched(page)
    open_page(page, gallery)
    yield page
    assert watched.complaints == []
    assert watched.fetched == {gallery.as_uri()}
    context.close()


def open_page(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")


def shown(page: Page) -> list[str]:
    """Return the names on the page in their order."""
    return page.locator("#pictures h3").all_text_contents()


def names_of(content: Sequence[PredictionRow]) -> list[str]:
    return [Path(row.path).name for row in content]


def errors_first(content: Sequence[PredictionRow]) -> list[PredictionRow]:
    return sorted(content, key=lambda row: not row.error)


def drawn_colours(page: Page) -> dict[str, list[int]]:
    """Return the colour in the middle of each thumbnail by the name of its picture."""
    page.wait_for_function(
        "() => document.querySelectorAll('canvas[data-drawn]').length"
        " === document.querySelectorAll('.card:not(.error)').length"
    )
    colours: dict[str, list[int]] = page.evaluate(
        """() => {
          const cards = [...document.querySelectorAll(".card:not(.error)")];
          return Object.fromEntries(cards.map((card) => {
            const canvas = card.querySelector("canvas");
            const [x, y] = [canvas.width / 2, canvas.height / 2];
            const middle = canvas.getContext("2d").getImageData(x, y, 1, 1);
            return [card.querySelector("h3").textContent, [...middle.data.slice(0, 3)]];
          }));
        }"""
    )
    return colours


def check_colours(page: Page) -> int:
    colours = drawn_colours(page)
    for name, colour in colours.items():
        expected = colour_of(int(name.partition("_")[2].partition(".")[0]))
        assert np.abs(np.subtract(colour, expected)).max() < 14, name
    return len(colours)


def test_it_opens_with_errors_first_and_then_the_order_of_the_table(page: Page) -> None:
    assert shown(page) == names_of(errors_first(CONTENT)[:PER_PAGE])
    assert page.title() == "150 pictures, by places"
    expect(page.locator("#status")).to_have_text("150 pictures, 1 to 60 shown")
    expect(page.locator(".facts")).to_contain_text("Tiny")
    expect(page.locator(".facts")).to_contain_text("15 unreadable")
    assert page.locator(".card.error").count() == 15
    expect(page.locator(".card.error").first).to_contain_text("cut off after 34,816 bytes")
    link = page.get_by_role("link", name="predictions.csv")
    assert link.get_attribute("href") == "./predictions.csv"


def test_each_card_has_five_bars_as_long_as_the_probabilities(page: Page) -> None:
    row = CONTENT[0]
    card = page.locator(".card").filter(has_text="IMG_0000.jpg")
    bars = card.locator(".guesses .bar")
    assert bars.count() == 5
    for rank, (label, probability) in enumerate(zip(row.labels, row.probabilities, strict=True)):
        line = card.locator(".guesses li").nth(rank)
        name = NAMES[label].replace("/", ", ").replace("_", " ")
        expect(line.locator(".name")).to_have_text(name)
        expect(line).to_contain_text(f"{100 * probability:.0f}%")
        whole = bars.nth(rank).bounding_box()
        filled = bars.nth(rank).locator("i").bounding_box()
        assert whole is not None
        assert filled is not None
        assert filled["width"] == pytest.approx(max(2, whole["width"] * probability), abs=1)
    card.locator("summary").click()
    details = card.locator("dl")
    expect(details).to_contain_text("photos/IMG_0000.jpg")
    expect(details).to_contain_text("640 × 480 pixels")  # noqa: RUF001 - it is meant
    expect(details).to_contain_text(f"{NAMES[row.labels[0]]} ({row.labels[0]})")
    expect(details).to_contain_text(f"{100 * row.probabilities[0]:.4f}%")


def test_pictures_with_a_label_tell_whether_the_answer_is_right(
    browser: Browser, tmp_path: Path
) -> None:
    labels = [LABELS[0], LABELS[5], None]  # right, wrong, unknown
    content = [answer(6 * number, label=label) for number, label in enumerate(labels)]
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    open_page(page, page_of(tmp_path / "gallery.html", [*content, failure(3)]))
    expect(page.locator(".facts")).to_contain_text("1 of 2 right")
    assert page.locator(".truth").all_text_contents() == ["\u2713 Right", "\u2717 It is kitchen"]
    assert min(page.evaluate(CONTRAST))[0] >= 4.5
    page.get_by_text("Wrong", exact=True).click()
    assert shown(page) == ["IMG_0006.jpg"]
    page.locator("summary").click()
    expect(page.locator("dl")).to_contain_text(f"kitchen ({LABELS[5]})")
    context.close()


def test_each_thumbnail_is_that_of_its_picture_in_every_order_and_on_every_page(
    page: Page,
) -> None:
    assert check_colours(page) == 45
    for order in ("most", "least", "name"):
        page.select_option("#sort", order)
        assert check_colours(page) == 45
    page.click("#next")
    assert check_colours(page) == 60


@pytest.mark.parametrize(("order", "sign"), [("most", -1), ("least", 1)])
def test_it_sorts_by_confidence_and_keeps_errors_first(page: Page, order: str, sign: int) -> None:
    page.get_by_label("Sort").select_option(order)
    expected = sorted(
        CONTENT,
        key=lambda row: (not row.error, sign * round(max(row.probabilities, default=0), 6)),
    )
    found = []
    for number in range(1, 4):
        page.get_by_role("button", name=f"Page {number}", exact=True).click()
        found += shown(page)
    assert found == names_of(expected)


def test_it_filters_by_category(page: Page) -> None:
    wanted = [row for row in CONTENT if row.labels[:1] == (LABELS[1],)]
    choice = page.get_by_label("Category")
    texts = choice.locator("option").all_text_contents()
    assert f"church, outdoor ({len(wanted)})" in texts
    assert len(texts) == 1 + len(LABELS)
    choice.select_option("church/outdoor")
    assert shown(page) == names_of(wanted)
    expect(page.locator("#status")).to_have_text(f"{len(wanted)} of 150 pictures")
    # The list of the most frequent ones does the same, and takes it back.
    page.locator("#frequent button", has_text="church, outdoor").click()
    expect(page.locator("#status")).to_contain_text("150 pictures")
    page.locator("#frequent button", has_text="church, outdoor").click()
    assert shown(page) == names_of(wanted)
    assert choice.input_value() == "church/outdoor"


@pytest.mark.parametrize(
    "text",
    ["IMG_0012", "img_01", "church/outdoor", "church outdoor", "34,816", "BUS", "_ jpg", "§"],
)
def test_it_filters_by_text_in_all_that_a_card_shows(page: Page, text: str) -> None:
    def haystack(row: PredictionRow) -> str:
        words = [NAMES[label] for label in row.labels]
        pretty = [word.replace("/", ", ").replace("_", " ") for word in words]
        return "\n".join([row.path, row.error, *words, *pretty]).lower()

    wanted = [
        row
        for row in errors_first(CONTENT)
        if all(word in haystack(row) for word in text.lower().split())
    ]
    page.get_by_label("Search").fill(text)
    assert shown(page) == names_of(wanted[:PER_PAGE])
    if not wanted:
        expect(page.locator("#nothing")).to_have_text("Nothing matches.")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#status")).to_contain_text("150 pictures")
    assert page.get_by_label("Search").input_value() == ""


def test_it_shows_one_side_or_what_is_unreadable(page: Page) -> None:
    answered = [row for row in CONTENT if not row.error]
    indoor = [row for row in answered if (row.indoor or 0) >= 0.5]
    outdoor = [row for row in answered if (row.indoor or 0) < 0.5]
    unreadable = [row for row in CONTENT if row.error]
    for name, wanted in (("Indoor", indoor), ("Outdoor", outdoor), ("Unreadable", unreadable)):
        page.get_by_text(name, exact=True).first.click()
        expect(page.get_by_role("radio", name=name)).to_be_checked()
        assert shown(page) == names_of(wanted[:PER_PAGE])
    share = round(100 * len(indoor) / len(answered))
    expect(page.locator("#split-indoor")).to_have_text(f"{share}%indoors")
    expect(page.locator("#split-outdoor")).to_have_text(f"{100 - share}%outdoors")
    page.locator("#split-indoor").click()
    assert shown(page) == names_of(indoor[:PER_PAGE])
    page.get_by_label("Category").select_option("kitchen")
    both = [row for row in indoor if row.labels[0] == LABELS[5]]
    assert shown(page) == names_of(both)


def test_pages_hold_each_picture_once_and_are_turned_by_buttons_and_arrows(page: Page) -> None:
    found = shown(page)
    page.click("#next")
    expect(page.locator("#status")).to_have_text("150 pictures, 61 to 120 shown")
    found += shown(page)
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    found += shown(page)
    assert sorted(found) == sorted(names_of(CONTENT))
    assert len(shown(page)) == 30
    page.keyboard.press("ArrowRight")  # there is no more
    expect(page.locator("#next")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("[aria-current=page]")).to_have_text("3")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[aria-current=page]")).to_have_text("2")
    # A filter begins at its first page, and arrows in a field move its cursor only.
    page.get_by_label("Search").fill("img")
    expect(page.locator("#status")).to_have_text("135 of 150 pictures, 1 to 60 shown")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_have_text("135 of 150 pictures, 1 to 60 shown")


def test_what_is_shown_outlives_a_reload(page: Page) -> None:
    page.get_by_label("Search").fill("img")
    page.get_by_label("Sort").select_option("least")
    page.click("#next")
    before = shown(page)
    page.reload()
    assert shown(page) == before
    assert page.get_by_label("Search").input_value() == "img"
    for address in ("#category=x&show=%22%5D&sort=constructor&page=9e9", "#page=-1", "#%"):
        page.evaluate("address => { location.hash = address }", address)
        expect(page.locator("#status")).to_contain_text("150 pictures")


def activation_opacity(page: Page, number: int) -> float:
    cam = page.locator("button.thumb").nth(number).locator(".cam")
    return float(cam.evaluate("cam => getComputedStyle(cam).opacity"))


def test_the_activation_is_shown_on_hover_and_focus_and_kept_by_a_click(
    browser: Browser, gallery: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    open_page(page, gallery)
    thumb = page.locator("button.thumb").first
    assert activation_opacity(page, 0) == 0
    thumb.hover()
    assert activation_opacity(page, 0) == 1
    assert activation_opacity(page, 1) == 0
    page.mouse.move(0, 0)
    assert activation_opacity(page, 0) == 0
    thumb.focus()
    assert activation_opacity(page, 0) == 1
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert activation_opacity(page, 0) == 1
    assert thumb.get_attribute("aria-pressed") == "true"
    thumb.click()
    page.mouse.move(0, 0)
    assert activation_opacity(page, 0) == 0
    page.get_by_role("button", name="Where it looked", exact=True).click()
    assert [activation_opacity(page, number) for number in range(40)] == [1] * 40
    context.close()


def test_the_activation_lies_where_the_network_looked(page: Page) -> None:
    for number in (0, 1, 12, 20):
        cam = page.locator(".card").filter(has_text=f"IMG_{number:04}.jpg").locator(".cam")
        pixels = np.array(
            cam.evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
        ).reshape(48, 48, 4)
        brightness = pixels[..., :3].sum(axis=2)
        y, x = np.unravel_index(brightness.argmax(), brightness.shape)
        assert x < 48 / 7
        assert number % 7 * 48 / 7 <= y + 0.5 <= (number % 7 + 1) * 48 / 7
        assert pixels[..., 3].min() > 0, "the rest is darker"


def test_a_keyboard_reaches_all_and_sees_where_it_is(page: Page) -> None:
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUS))
    assert all(place["isVisible"] for place in reached), reached
    ids = [place["id"] for place in reached]
    order = ["theme", "split-outdoor", "split-indoor", "text", "category", "sort", "cam"]
    assert [name for name in ids if name in order] == order
    assert reached[0]["text"] == "Skip to the pictures"
    assert any(place["name"] == "show" for place in reached)
    first = next(n for n, place in enumerate(reached) if place["classes"] == "thumb")
    assert "IMG_0000.jpg: beach" in reached[first]["text"]
    assert reached[first + 1]["text"] == "Details of IMG_0000.jpg"
    page.keyboard.press("Enter")
    # The filters by keyboard alone: back to the radio buttons, and one to the right.
    page.get_by_role("radio", name="All").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Outdoor")).to_be_checked()
    expect(page.locator("#status")).to_contain_text("of 150 pictures")


def test_the_first_link_leads_past_the_controls(page: Page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pictures"
    assert len(shown(page)) == PER_PAGE


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everybody_can_read_and_use_it(
    browser: Browser, gallery: Path, scheme: Scheme, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    open_page(page, gallery)
    page.click("#cam")
    page.locator("summary").last.click()
    page.get_by_text("church, outdoor").locator("visible=true").first.click()
    page.click("#clear")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, background[4:-1].split(",")))
    assert (brightness > 600) == (scheme == "light")
    contrasts = page.evaluate(CONTRAST)
    assert len(contrasts) > 400
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
          images: document.querySelectorAll("[role=img]:not([aria-label]), img").length,
          landmarks: ["header", "main", "footer", "nav"]
            .filter((name) => document.querySelectorAll(name).length === 1),
        })"""
    )
    assert structure["lang"] == "en"
    assert structure["headings"][:3] == [1, 2, 2]
    assert set(structure["headings"][3:]) == {3}
    assert len(structure["ids"]) == len(set(structure["ids"]))
    assert structure["images"] == 0
    assert structure["landmarks"] == ["header", "main", "footer", "nav"]
    context.close()


def test_colours_can_be_chosen_and_stay(page: Page) -> None:
    def background() -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    light = background()
    page.click("#theme")
    expect(page.locator("#theme")).to_have_text("Colours: Light")
    assert background() == light
    page.click("#theme")
    dark = background()
    assert dark != light
    page.reload()
    assert background() == dark
    page.click("#theme")
    assert background() == light


def test_names_from_outside_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    paths = [str(photos / name.replace("/", "\u2215").replace("\x00", "")) for name in HOSTILE]
    for path in paths:
        Path(path).touch()
    content = [answer(number, path) for number, path in enumerate(paths)]
    content += [
        PredictionRow(path, error=f"<img src=x onerror=alert(1)> {path}") for path in HOSTILE
    ]
    page = browser.new_page(viewport={"width": 360, "height": 800})
    watched = Watched(page)
    markup = "<img src=x onerror=alert(2)>"
    open_page(page, page_of(tmp_path / "gallery.html", content, network=markup))
    page.click("#cam")
    for summary in page.locator("summary").all():
        summary.click()
    names = [printable(path) for path in HOSTILE]
    titles = page.locator(".card.error h3 span").evaluate_all("all => all.map(e => e.title)")
    assert titles == names
    reasons = page.locator(".card.error .why").all_text_contents()
    assert reasons == [f"<img src=x onerror=alert(1)> {name}" for name in names]
    links = page.locator(".card:not(.error) h3 a").evaluate_all("all => all.map(a => a.href)")
    targets = [unquote_to_bytes(urlsplit(link).path) for link in links]
    assert all(link.startswith("file:///") for link in links)
    assert targets == [os.fsencode(path) for path in paths]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("img").count() == 0
    page.get_by_label("Search").fill("</script>")
    assert len(shown(page)) == 1
    assert watched.complaints == []
    assert len(watched.fetched) == 1
    # Even what got in would not run, nor fetch anything.
    page.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 1'>");
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    page.close()


def test_without_its_script_it_says_where_the_answers_are(browser: Browser, gallery: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(gallery.as_uri())
    expect(page.locator("noscript p")).to_contain_text("All answers are in predictions.csv")
    expect(page.locator("h1")).to_have_text("150 pictures")
    expect(page.locator("main")).to_be_hidden()
    expect(page.locator("#theme")).to_be_hidden()
    context.close()


@pytest.mark.parametrize(
    ("content", "title", "told"),
    [
        ([], "0 pictures", "There are no pictures."),
        ([failure(0)], "1 picture", ""),
        ([answer(0, thumbnail=b"", activation=None, indoor=None)], "1 picture", ""),
    ],
)
def test_pages_of_nothing_or_little(
    browser: Browser, tmp_path: Path, content: list[PredictionRow], title: str, told: str
) -> None:
    page = browser.new_page()
    watched = Watched(page)
    open_page(page, page_of(tmp_path / "gallery.html", content))
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("#nothing")).to_have_text(told or "Nothing matches.")
    assert page.locator("#nothing").is_visible() == bool(told)
    assert page.locator(".card").count() == len(content)
    for hidden in ("#pager", "#cam", ".split", "#clear", ".of-side >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    assert watched.complaints == []
    page.close()


def test_a_page_that_is_cut_off_still_has_its_answers(
    browser: Browser, gallery: Path, tmp_path: Path
) -> None:
    text = gallery.read_text("utf-8")
    part = tmp_path / "part.html"
    part.write_text(text[: text.index('id="sheet-2"') + 200], "utf-8")
    page = browser.new_page()
    watched = Watched(page)
    open_page(page, part)
    page.select_option("#sort", "least")
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert len(shown(page)) == PER_PAGE
    assert 0 < page.locator("canvas[data-drawn]").count() < 45
    assert watched.complaints == []
    page.close()


def test_on_paper_the_controls_are_left_out(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    for control in (".tools", "#pager", "#theme"):
        expect(page.locator(control)).to_be_hidden()
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
