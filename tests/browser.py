"""Headless Chromium, driven by Playwright: pages as a person sees them, without any host but this one."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
LOCAL_SCHEMES = {"file", "data", "blob", "about"}
# A slow machine's; a page that is right passes at once.
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where none is installed."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium on the PATH (Debian: apt-get install chromium)")
    # Chromium's sandbox does not start for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Visit:
    """One visitor's page; what it asked of other hosts is refused, and kept in `elsewhere`.

    `pictures` takes the screenshots; `offline`: as with the network cable drawn.
    """

    def __init__(self, browser: Browser, pictures: Path, offline: bool = False) -> None:
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self._pictures = pictures
        context = browser.new_context(viewport={"width": 1600, "height": 1000}, offline=offline)
        context.set_default_timeout(TIMEOUT_MS)
        context.route("**/*", self._keep_here)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _keep_here(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in LOCAL_SCHEMES or address.hostname in LOCAL_HOSTS:
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        path = self._pictures / f"{name}.png"
        self.page.screenshot(path=path)
        # Shown when the test fails.
        print(f"screenshot: {path}")


def is_drawn(image: Locator) -> None:
    """Wait until an image is seen and its file has arrived."""
    expect(image).to_be_visible()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 100
