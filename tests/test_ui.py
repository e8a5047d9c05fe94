"""MLflow's UI as `make ui` serves it: what a person sees in a browser, against the result files."""

import contextlib
import csv
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from browser import Visit, chromium, is_drawn
from mlflow import MlflowClient
from playwright.sync_api import Browser, Locator, TimeoutError, expect
from runs import ROOT, environment, paths

from relu2snn.ui import first_view, suites_of

pytestmark = pytest.mark.workflow
NAMES = ("fmnist_fc", "fmnist_lenet")


class Server:
    """`make ui` in a folder, in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            make_ui(str(self.port)),
            cwd=folder,
            env=environment() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if self.url in line:
                return
        raise AssertionError(self.said)

    def interrupt(self) -> str:
        """Press Ctrl-C, which a terminal sends to the whole group; returns what the server has said until its end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.said += self.process.communicate(timeout=60)[0]
        return self.said


def make_ui(port: str) -> list[str]:
    """The command in the environment of the tests, whatever it is."""
    # Below `make test`, make would say which folder it enters.
    make = ["make", "--no-print-directory", "--file", str(ROOT / "Makefile"), "--old-file", ".venv/runtime"]
    return [*make, f"BIN={Path(sys.executable).parent}", "ui", f"PORT={port}"]


def refused(folder: Path, port: str = "5000", **variables: str) -> str:
    run = subprocess.run(
        make_ui(port), cwd=folder, env=environment() | variables, capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("relu2snn ui: ")]
    return line


@pytest.fixture(scope="module")
def server(finished: Path) -> Iterator[Server]:
    server = Server(finished)
    yield server
    server.interrupt()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, server: Server, tmp_path: Path) -> Iterator[Visit]:
    """A first visit to what `make ui` serves; afterwards, no other host was asked for anything."""
    visit = Visit(browser, tmp_path)
    visit.page.goto(server.url)
    yield visit
    visit.picture("last")
    visit.page.context.close()
    assert visit.elsewhere == []
    assert visit.errors == []


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "outputs" / "paper" / "results.csv").open() as file:
        return {row["experiment"]: row for row in csv.DictReader(file)}


def run_id(folder: Path, experiment: str) -> str:
    return json.loads(Path(paths(folder, experiment).tracked).read_text())["parent"]


def columns(folder: Path, experiment: str) -> dict[str, float]:
    """What a list of runs should show of an experiment."""
    row = rows(folder)[experiment]
    names = ("accuracy_original", "accuracy", "agreement", "certified", "early_spikes", "latency", "spiking_fraction")
    return {**{name: float(row[name]) for name in names}, "exact": float(row["exact"] == "True")}


def row_of(visit: Visit, folder: Path, experiment: str) -> tuple[Locator, Callable[[str], Locator]]:
    """In the table of runs, the link to an experiment's run, and its cell under a column."""
    link = visit.page.locator(f".ag-row a[href*='{run_id(folder, experiment)}']")
    row = parts_of_row(link)
    return link, lambda column: row.locator(f"[col-id='{column}']")


def parts_of_row(link: Locator) -> Locator:
    """A row of the table stands in several parts: the columns that scroll and those that do not."""
    number = link.locator("xpath=ancestor::*[@row-index]").get_attribute("row-index")
    return link.page.locator(f".ag-row[row-index='{number}']")


def tick(visit: Visit, folder: Path, experiment: str) -> None:
    """Choose an experiment's run in the table of runs."""
    link, cell = row_of(visit, folder, experiment)
    expect(cell("metrics.`latency`")).not_to_be_empty()
    box = parts_of_row(link).get_by_label("toggle row selection")
    for _ in range(6):
        # The table may be built again under a click, which never ends then.
        with contextlib.suppress(TimeoutError):
            box.check(timeout=5000)
            return
    raise AssertionError(f"the run of {experiment} cannot be chosen")


def written(visit: Visit, value: float) -> str:
    """A number in the browser's own notation."""
    return visit.page.evaluate("value => String(value)", value)


def test_it_opens_on_the_runs_with_their_results_in_columns(visit: Visit, finished: Path) -> None:
    for name in NAMES:
        link, cell = row_of(visit, finished, name)
        expect(link).to_be_visible()
        expect(link).to_contain_text(name)
        for column, value in columns(finished, name).items():
            expect(cell(f"metrics.`{column}`")).to_have_text(written(visit, value))
    visit.picture("runs")


def test_the_runs_are_found_from_the_list_of_experiments(visit: Visit, finished: Path) -> None:
    """In a browser that has never seen MLflow, which shows traces of language models unless told otherwise."""
    visit.page.get_by_role("link", name="Experiments").click()
    visit.page.get_by_role("cell").get_by_role("link", name="relu2snn/paper").click()
    for name in NAMES:
        link, cell = row_of(visit, finished, name)
        expect(link).to_be_visible()
        for column, value in columns(finished, name).items():
            expect(cell(f"metrics.`{column}`")).to_have_text(written(visit, value))
        # Without scrolling sideways.
        for column in ("accuracy_original", "accuracy", "agreement", "latency"):
            expect(cell(f"metrics.`{column}`")).to_be_in_viewport()


def test_a_run_shows_its_metrics_its_note_and_its_figures(visit: Visit, finished: Path) -> None:
    page = visit.page
    link, cell = row_of(visit, finished, "fmnist_lenet")
    # MLflow builds its table again after it has come; a link may go from under a click.
    expect(cell("metrics.`latency`")).not_to_be_empty()
    link.click()
    expect(page.get_by_role("heading", name="fmnist_lenet")).to_be_visible()
    for metric, value in columns(finished, "fmnist_lenet").items():
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=metric, exact=True))
        expect(row.get_by_role("cell").nth(1)).to_have_text(written(visit, value))
    expect(page.get_by_text("60 of 60 images")).to_be_visible()
    figures = page.locator("img[src*='get-artifact']")
    for number in range(3):
        is_drawn(figures.nth(number))
        expect(figures.nth(number)).to_be_in_viewport()
    page.get_by_text("Show more").first.click()
    expect(page.get_by_text("Make it again")).to_be_visible()
    visit.picture("run")

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("figures", exact=True).click()
    page.get_by_text("layer_maxima.png", exact=True).click()
    is_drawn(page.locator("img[src^='blob:'], img[src*='layer_maxima']").first)
    visit.picture("artifact")


def test_two_runs_are_compared(visit: Visit, finished: Path) -> None:
    page = visit.page
    for name in NAMES:
        tick(visit, finished, name)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    for name in NAMES:
        expect(page.get_by_role("row", name="Run Name").get_by_text(name)).to_be_visible()
        # Rounded for the comparison.
        latency = f"{columns(finished, name)['latency']:.4g}"
        expect(page.get_by_text(latency, exact=True).first).to_be_attached()
    visit.picture("comparison")


def test_the_charts_show_every_run(visit: Visit, finished: Path) -> None:
    page = visit.page
    page.locator("label:has(input[value=CHART])").click()
    for metric in ("accuracy", "latency"):
        page.get_by_placeholder("Search metric charts").fill(f"^{metric}$")
        bars = page.locator(".js-plotly-plot .bars")
        expect(bars.locator(".point path")).to_have_count(len(NAMES))
        for name in NAMES:
            expect(bars.get_by_text(f"{columns(finished, name)[metric]:.2f}")).to_be_visible()
            expect(page.get_by_text(name).last).to_be_visible()
    visit.picture("charts")


def test_with_several_suites_it_opens_on_their_list(client: MlflowClient) -> None:
    for suite in ("one_of_two", "two_of_two"):
        client.create_experiment(f"relu2snn/{suite}")
    assert first_view(suites_of(client)) == "/experiments"


def test_it_listens_on_this_machine_only(server: Server) -> None:
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    listening = [each.laddr for one in processes for each in one.net_connections("all") if each.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", server.port)]
    assert all(ipaddress.ip_address(address.ip).is_loopback for address in listening)


def test_a_port_that_is_taken_is_named(server: Server, finished: Path) -> None:
    line = refused(finished, str(server.port))
    assert line == (
        f"relu2snn ui: port {server.port} of 127.0.0.1 cannot be used (Address already in use); "
        "choose another, as in make ui PORT=5001"
    )


def test_ctrl_c_ends_it_without_a_word_while_a_page_is_open(browser: Browser, finished: Path, tmp_path: Path) -> None:
    """And it shows the store that MLFLOW_TRACKING_URI names."""
    server = Server(tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{finished}/outputs/mlflow.db")
    visit = Visit(browser, tmp_path)
    visit.page.goto(server.url)
    expect(row_of(visit, finished, NAMES[0])[0]).to_be_visible()
    pids = [child.pid for child in psutil.Process(server.process.pid).children(recursive=True)]
    said = server.interrupt()
    visit.page.context.close()
    assert said == f"MLflow shows the runs at {server.url}; Ctrl-C ends it\n"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_wrong_port_a_store_without_runs_and_a_server_are_explained(finished: Path, tmp_path: Path) -> None:
    assert "port many: not a number from 1 to 65535; choose one" in refused(finished, "many")
    assert refused(tmp_path) == "relu2snn ui: outputs/mlflow.db: nothing logged yet; run make quickstart first"
    file = tmp_path / "outputs" / "mlflow.db"
    file.parent.mkdir()
    file.write_text("not a database")
    assert "outputs/mlflow.db: MLflow cannot use this store (file is not a database)" in refused(tmp_path)
    address = {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9/"}
    run = subprocess.run(make_ui("5000"), env=environment() | address, capture_output=True, text=True, check=True)
    assert run.stdout == "These runs are on a server, which shows them: http://me:***@127.0.0.1:9\n"
