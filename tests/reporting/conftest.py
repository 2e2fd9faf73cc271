"""The explorer's page of the made-up study, open in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from explorer_page import start_browser
from study_records import example_results

from modomodo.mixtures.constraints import Constraints
from modomodo.reporting.explorer import page_data, render
from modomodo.reporting.surface import Surface, fit


@pytest.fixture(scope="module")
def surface() -> Surface:
    return fit(example_results().records, "gp_sqrt")


@pytest.fixture(scope="module")
def data() -> dict:
    limits = Constraints(minimum={"maths": 0.1}, maximum={"boxes": 0.5})
    return page_data(example_results(), "small study", "gp_sqrt", limits, {"science": 0.7})


@pytest.fixture(scope="module")
def page(data: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(render(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    driver.get("about:blank")
    driver.get_log("browser")  # what Chromium's own first page complained of, as of a slow network
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page: Path) -> Iterator:
    """The page, loaded again; nothing in the browser's console at the end, warnings included."""
    browser.get(page.as_uri())
    yield browser
    assert browser.get_log("browser") == []
