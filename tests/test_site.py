"""The documentation site: complete, whole, and at home in a browser.

``SKRNN_TESTS_SITE`` names the folder that Sphinx has built; the tests of the site need it, and with it also Chromium.
"""

import importlib
import os
import re
import shutil
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urljoin, urlsplit

import pytest

API = Path(__file__).parents[1] / "docs" / "api" / "index.rst"
SITE = os.environ.get("SKRNN_TESTS_SITE")
HOST = "http://site.invalid/"  # where the pages are, as far as their links are concerned

needs_site = pytest.mark.skipif(not SITE, reason="SKRNN_TESTS_SITE does not name a built documentation site")


class Page(HTMLParser):
    """The anchors of a page, and the addresses that it links to or loads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes["id"]} if "id" in attributes else set()
        if tag == "a" and "href" in attributes:
            self.links.add(attributes["href"])
        if tag == "link" and attributes.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loaded.add(attributes["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in attributes:
            self.loaded.add(attributes["src"])


@pytest.fixture(scope="module")
def pages():
    """Return all pages by their paths within the site."""
    paths = {path.relative_to(SITE).as_posix(): path for path in Path(SITE).rglob("*.html")}
    return {name: Page(path) for name, path in paths.items() if not name.startswith("_static")}  # the theme's templates


@pytest.mark.parametrize(
    "module", ["", ".datasets", ".export", ".inspection", ".metrics", ".persistence", ".preprocessing", ".sequences"]
)
def test_the_api_reference_lists_every_public_name(module):
    (listed,) = re.findall(
        rf"currentmodule:: skrnn{re.escape(module)}\n\n.. autosummary::\n.*\n\n((?:   \w+\n)+)", API.read_text()
    )
    assert set(listed.split()) == set(importlib.import_module(f"skrnn{module}").__all__) - {"__version__"}


@needs_site
def test_no_link_leads_nowhere(pages):
    broken = []
    for name, page in pages.items():
        for link in page.links | page.loaded:
            target = urlsplit(urljoin(HOST + name, link))
            if f"{target.scheme}://{target.netloc}/" != HOST:
                continue
            path = unquote(target.path).lstrip("/")
            if not (Path(SITE) / path).is_file() or (target.fragment and unquote(target.fragment) not in pages[path].ids):
                broken.append(f"{name}: {link}")
    assert len(pages) > 50
    assert not broken


@needs_site
def test_nothing_is_loaded_from_elsewhere(pages):
    assert not {link for name, page in pages.items() for link in page.loaded if not urljoin(HOST + name, link).startswith(HOST)}


@pytest.fixture(scope="module")
def address():
    """Serve the site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path):
    """Return Chromium, of a reader who has never been here."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or pytest.fail("Chromium is not installed")
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    flags += ["disable-component-update", "disable-sync", f"user-data-dir={tmp_path}", "window-size=1400,1000"]
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver") or pytest.fail("Chromium's driver, chromedriver, is not installed")
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        yield browser


def defects(browser, address):
    """Return images that are not shown, what is loaded from elsewhere, and errors of the browser's console."""
    images = browser.execute_script("return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return images + errors + [name for name in loaded if not name.startswith((address, "data:"))]


@needs_site
def test_a_reader_clicks_from_the_landing_page_to_the_api_and_to_an_example(browser, address):
    def click(element, title):
        browser.find_element("css selector", f"main {element}").click()
        assert browser.find_element("css selector", "main h1").text.startswith(title)
        assert not defects(browser, address)

    browser.get(address)
    assert not defects(browser, address)
    click(".sd-card:has(a[href='api/index.html'])", "API reference")
    click("a[href='generated/skrnn.RNNClassifier.html#skrnn.RNNClassifier']", "RNNClassifier")
    browser.get(address)
    click(".sd-card:has(a[href='auto_examples/index.html'])", "Examples")
    click("a[href='plot_japanese_vowels.html']", "Who is speaking?")
    assert browser.find_elements("css selector", "main img")


BEYOND_THE_SCREEN = """
const frame = document.querySelector(".bd-article-container")
const scrolls = e => e !== frame && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement))
const isBeyond = e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e)
return [...frame.querySelectorAll("*")].filter(isBeyond).map(e => e.outerHTML.slice(0, 80))
"""


@needs_site
def test_every_page_fits_a_phone(browser, address, pages):
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    found = {}
    for page in pages:
        browser.get(address + page)
        found[page] = browser.execute_script(BEYOND_THE_SCREEN) + defects(browser, address)
    assert not {page: of_page for page, of_page in found.items() if of_page}
