"""A page in a real browser, and the hands and eyes of who uses the explorer."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from chromium import FLAGS
from study_records import DOMAINS

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def start_browser(profile: Path):
    """Chromium with an empty profile; a test without it is skipped, but not by CI, which installs it."""
    if not (CHROMIUM and DRIVER):
        if os.environ.get("CI"):
            pytest.fail("no chromium: `make browser` installs it")
        pytest.skip("no chromium: `make browser` installs it")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={profile}", "--window-size=1200,1000"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def weights(browser) -> dict[str, float]:
    """As the number fields show them."""
    return {
        name: float(
            browser.find_element("css selector", f"[aria-label='weight of {name}']").get_property("value")
        )
        for name in DOMAINS
    }


def slider(browser, name: str):
    return browser.find_element("css selector", f"#weight-{sorted(DOMAINS).index(name)}")


def shown(browser, target: str) -> tuple[float, float]:
    """Score and half of the 80 % interval, as read on the page."""
    score = browser.find_element("id", f"score-{target}").text
    interval = browser.find_element("id", f"interval-{target}").text
    return float(score), float(interval.removeprefix("± "))


def put(browser, name: str, value: float) -> None:
    """Type a weight."""
    field = browser.find_element("css selector", f"[aria-label='weight of {name}']")
    field.send_keys("\ue009a\ue000", str(value), "\t")  # control and a: over what is there


def wait_for(condition) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(None, 10).until(lambda _: condition())


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two CSS colours."""

    def luminance(colour: str) -> float:
        numbers = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
        channels = numbers if colour.startswith("color(srgb") else [number / 255 for number in numbers]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
