"""A headless browser for tests of what a reader touches: Chromium or Chrome, driven by selenium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BROWSERS, DRIVERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"), ("chromedriver",)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


@contextmanager
def browsing(width: int = 1280, height: int = 950) -> Iterator:
    """A window of this size; a test that needs it is skipped where there is no browser."""
    paths = [next(filter(None, map(shutil.which, names)), None) for names in (BROWSERS, DRIVERS)]
    if None in paths:
        pytest.skip("needs a browser and its driver: Debian's packages chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [*FLAGS.split(), f"--window-size={width},{height}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    try:
        yield driver
    finally:
        driver.quit()


def wait(driver, script: str, *given, seconds: float = 10):
    """What a script returns, as soon as that is neither null nor false nor empty."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, seconds, 0.2).until(lambda seen: seen.execute_script(script, *given))
