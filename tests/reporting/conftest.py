"""The explorer's page of the made-up study, open in a browser."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from pages_in_browser import start_browser
from study_records import example_results

from modomodo.mixtures.constraints import Constraints
from modomodo.reporting.explorer import page_data, render
from modomodo.reporting.surface import Surface, fit


@pytest.fixture(scope="session")
def surface() -> Surface:
    return fit(example_results().records, "gp_sqrt")


@pytest.fixture(scope="session")
def data() -> dict:
    limits = Constraints(minimum={"maths": 0.1}, maximum={"boxes": 0.5})
    return page_data(example_results(), "small study", "gp_sqrt", limits, {"science": 0.7})


@pytest.fixture(scope="session")
def page(data: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(render(data), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def page_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[dict, Path]]:
    """What a page without constraints holds, and the page, by surrogate: each is fitted once."""

    @cache
    def make(surrogate: str) -> tuple[dict, Path]:
        data = page_data(example_results(), "same", surrogate)
        path = tmp_path_factory.mktemp("page") / "explorer.html"
        path.write_text(render(data), encoding="utf-8")
        return data, path

    return make
