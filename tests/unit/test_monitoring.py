"""What contrib/ has for Grafana and Prometheus names figures that the daemon has, and Prometheus takes all of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bangeod.api.daemon_state import ApiState, BansState, DaemonsState, IpApiState, MmdbState
from bangeod.api.metrics import render
from tests.support import promtool
from tests.support.daemon.api_host import at, state
from tests.support.mmdb.published import NotToBeHadError, default_cache
from tests.support.promtool import Promtool

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "contrib" / "grafana" / "bangeod.json"
PROMETHEUS = ROOT / "contrib" / "prometheus"
RULES = PROMETHEUS / "bangeod.rules.yml"
TESTS_OF_RULES = sorted((ROOT / "tests" / "prometheus").glob("*.yml"))
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def judge() -> Promtool:
    try:
        return promtool.find(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def exposition() -> str:
    """Give what a daemon says of which everything is known."""
    all_of_it = state(ApiState(lookups={"memory": 3, "mmdb": 1}))
    for job in all_of_it.jobs:
        job.unreadable = 0
        job.duration, job.last_success, job.next_run = 0.5, at("2026-11-22T00:00:00Z"), at("2026-11-22T01:00:00Z")
    mmdb = MmdbState(path='/a "strange\\path', status="loaded", build_time=at("2026-11-01T00:00:00Z"))
    all_of_it.sources.mmdb = [mmdb]
    all_of_it.sources.ip_api = IpApiState(enabled=True, remaining=15, paused_until=at("2026-11-22T00:10:30Z"))
    all_of_it.sources.bans = BansState(countries={"DE": 3, "CN": 5}, without_country=2, networks=1)
    all_of_it.daemons = DaemonsState(count=3, listening=True, lag=0.0)
    return render(all_of_it).decode()


def labels(exposition: str) -> dict[str, set[str]]:
    """Return the labels of each figure."""
    families = text_string_to_metric_families(exposition)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


# --- the dashboard ---


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", []))


def named(query: str) -> set[str]:
    return set(re.findall(r"\b(?:bangeod|process)_\w+", query))


def test_every_figure_in_the_dashboard_is_one_of_the_daemons(exposition: str) -> None:
    used = {name for query in queries() for name in named(query)}
    assert used - labels(exposition).keys() == set()


def test_every_figure_of_the_daemon_but_a_few_is_in_the_dashboard(exposition: str) -> None:
    used = {name for query in queries() for name in named(query)}
    own = {name for name in labels(exposition) if name.startswith("bangeod_")}
    assert own - used == {
        "bangeod_database_up",  # healthy says it
        "bangeod_cache_read_ratio",  # less than 1 for some seconds after a start
        "bangeod_job_running",  # a run is shorter than the time between two scrapes
        "bangeod_job_next_run_timestamp_seconds",
        "bangeod_job_timeout_seconds",  # for an alert
        "bangeod_ip_api_refused",  # as above
    }


def test_a_legend_names_labels_that_there_are(exposition: str) -> None:
    there = labels(exposition)
    for panel in panels():
        for target in panel.get("targets", []):
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            known = {"job", "instance"}.union(*(there[name] for name in named(target["expr"])))
            assert shown <= known, panel["title"]


def test_panels_have_ids_of_their_own_and_no_two_lie_on_each_other() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken = [cell for panel in panels() for cell in cells(panel["gridPos"])]
    assert len(taken) == len(set(taken))
    assert all(column < 24 for column, _ in taken)


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for column in range(place["x"], place["x"] + place["w"]):
        yield from ((column, line) for line in range(place["y"], place["y"] + place["h"]))


def test_whose_figures_and_from_where_is_for_the_person_to_choose() -> None:
    variables = {variable["name"]: variable for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    for panel in panels():
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            selectors = re.findall(r"\b(?:bangeod|process)_\w+(\{[^}]*\}|)", target["expr"])
            assert set(selectors) == {'{job=~"$job", instance=~"$instance"}'}, panel["title"]


def test_the_map_finds_a_country_by_its_iso_code() -> None:
    """Grafana's own list of countries, in the gazetteer of that name, has ISO 3166-1 alpha-2 codes as its keys."""
    (world_map,) = (panel for panel in panels() if panel["type"] == "geomap")
    (layer,) = world_map["options"]["layers"]
    assert layer["location"] == {
        "mode": "lookup",
        "lookup": shown_as(world_map)["country"],
        "gazetteer": "public/gazetteer/countries.json",
    }
    for dimension in ("size", "color"):
        assert layer["config"]["style"][dimension]["field"] == shown_as(world_map)["Value"]


def test_map_and_table_show_the_newest_figures_country_by_country() -> None:
    for panel in (panel for panel in panels() if panel["type"] in {"geomap", "table"}):
        (target,) = panel["targets"]
        # As a table, each label is a column of its name, and the figure the column Value.
        assert (target["format"], target["instant"], target["range"]) == ("table", True, False)
        assert target["expr"].startswith("sum by (country) (bangeod_banned_addresses{")
        assert shown_as(panel).keys() == {"country", "Value"}


def shown_as(panel: dict[str, Any]) -> dict[str, str]:
    """Return what a panel calls the columns of its query."""
    (organize,) = (each["options"] for each in panel["transformations"] if each["id"] == "organize")
    names: dict[str, str] = organize["renameByName"]
    return names


@pytest.mark.slow
def test_the_dashboards_queries_are_promql(judge: Promtool, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML, too
    assert judge("check", "rules", file).fine, judge("check", "rules", file).said


# --- the alerts ---


def test_every_figure_in_the_alerts_is_one_of_the_daemons(exposition: str) -> None:
    used = {name for line in RULES.read_text().splitlines() if "#" not in line for name in named(line)}
    assert used
    assert used - labels(exposition).keys() == set()


@pytest.mark.slow
def test_prometheus_takes_the_alerts_and_the_way_to_the_daemon(judge: Promtool) -> None:
    for verdict in (judge("check", "rules", RULES), judge("check", "config", PROMETHEUS / "scrape.yml")):
        assert verdict.fine, verdict.said


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do_and_waits(name: str) -> None:
    rule = RULES.read_text().partition(f"- alert: {name}\n")[2].partition("- alert: ")[0]
    for part in ("for: ", "severity: ", "summary: ", "description: "):
        assert rule.count(part) == 1, part


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_with_and_without_a_reason(name: str) -> None:
    cases = [case for path in TESTS_OF_RULES for case in path.read_text().split("      - expr: ") if name in case]
    asked = [case for case in cases if case.startswith(f'ALERTS{{alertname="{name}", alertstate="firing"}}')]
    assert {"exp_samples" in case for case in asked} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS_OF_RULES, ids=lambda path: path.stem)
def test_alerts_fire_where_something_is_bad_and_only_there(judge: Promtool, path: Path) -> None:
    verdict = judge("test", "rules", path)
    assert verdict.fine, verdict.said


# --- the figures ---


@pytest.mark.slow
def test_prometheus_has_nothing_to_say_against_the_figures(judge: Promtool, exposition: str) -> None:
    verdict = judge("check", "metrics", text=exposition)
    assert verdict.fine, verdict.said
    assert verdict.said == ""


def test_no_label_is_one_that_prometheus_gives_itself(exposition: str) -> None:
    given = set().union(*labels(exposition).values())
    assert given
    assert given & {"job", "instance"} == set()


def test_banned_addresses_come_by_country_and_those_without_one_under_none(exposition: str) -> None:
    assert figures("bangeod_banned_addresses", exposition) == {"CN": 5, "DE": 3, "none": 2}
    assert "\nbangeod_banned_networks 1.0\n" in exposition


def test_where_fail2ban_is_not_read_there_are_no_figures_of_bans() -> None:
    exposition = render(state()).decode()
    assert figures("bangeod_banned_addresses", exposition) == {}
    assert "\nbangeod_banned_networks " not in exposition


def figures(name: str, exposition: str) -> dict[str, float]:
    """Return the figures of a name, by country."""
    samples = (sample for family in text_string_to_metric_families(exposition) for sample in family.samples)
    return {sample.labels["country"]: sample.value for sample in samples if sample.name == name}
