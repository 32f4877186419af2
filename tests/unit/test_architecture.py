"""The layout that the code keeps: imports point down, each library has its one place, no function is too long."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import bangeod

ROOT = Path(bangeod.__file__).parent
TESTS = Path(__file__).parent
LONGEST_FUNCTION = 60  # lines

# What each part may import of the others; its own part always. The ground is everybody's: it knows nobody but itself.
GROUND = {
    "errors",
    "clock",
    "trouble",
    "cooperative",
    "model",
    "addresses",
    "ban_spans",
    "banned",
    "countries",
    "cldr",
    "fields",
}
GROUND |= {"__init__", "atomic_file", "os_errors"}
JOBS = {"jobs", "geo", "store.port"}
BELOW_SERVICE = {"jobs", "api", "fleet", "geo", "store", "config"}
MAY_IMPORT: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {"check", "service", "client", *BELOW_SERVICE},
    "check": {"service", *BELOW_SERVICE},
    "service": BELOW_SERVICE,
    "api": JOBS,
    "jobs": JOBS,
    "fleet": {"geo", "store"},
    "geo": {"store.port"},
    "store": set(),
    "config": {
        "store.postgres.url",
        "store.postgres.driver",
        "store.postgres.extra",
    },  # to judge a url, where there is one
    "client": set(),
}
# Libraries with one place each; whoever else needs what they do asks that place.
PLACES = {
    "sqlite3": {"store.sqlite.engine"},
    "pysqlite3": {"store.sqlite.engine"},
    "sqlcipher3": {"store.sqlite.engine"},
    "aiosqlite": {"store.sqlite.thread"},
    "psycopg": {"store.postgres.driver"},
    "httpx": {"geo.sources.ip_api.transport", "geo.update", "client"},
    "httpcore": {"client"},
    "maxminddb": {"geo.sources.mmdb"},
    "geoip2": {"geo.sources.mmdb"},
    "ip3country": {"geo.sources.embedded"},
    "apscheduler": {"service.schedule.scheduler"},
    "click": {"cli"},
    "aiohttp": {"api.web"},
    "prometheus_client": {"api.metrics"},
}
# Modules of tests that mirror none of bangeod's: those that test the repository, and one subject that has many places.
OF_THE_REPOSITORY = {"architecture", "debian_package", "example_config", "floors", "man_page", "monitoring", "readme"}
OF_THE_REPOSITORY |= {"benchmark", "strict_ip_api_server", "wheels"}  # test_benchmark_builds and its like
OF_MANY = {"closed_directories"}


class Import(NamedTuple):
    """One import, where it stands and what it names (dotted; within bangeod without that name)."""

    module: str
    line: int
    target: str
    at_run_time: bool  # and not for the type checker only

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.target}"


@cache
def modules() -> dict[str, ast.Module]:
    return {_name(path): ast.parse(path.read_text(), str(path)) for path in sorted(ROOT.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


@cache
def _imports(module: str) -> tuple[Import, ...]:
    return tuple(_find_imports(module, modules()[module]))


def _find_imports(module: str, tree: ast.Module) -> Iterator[Import]:
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports hide where things come from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(module, node.lineno, name, id(node) not in for_types)


def _of_bangeod(found: Import) -> str | None:
    """Return the module of bangeod that is imported: ``from package import name`` may mean either."""
    if found.target.split(".")[0] != "bangeod":
        return None
    dotted = found.target.partition(".")[2] or "__init__"
    while dotted not in modules():
        dotted = dotted.rpartition(".")[0] or "__init__"
    return dotted


def imports() -> Iterator[tuple[Import, str]]:
    """Hand out the imports of bangeod's own modules, each with the module that it means."""
    for module in modules():
        for found in _imports(module):
            target = _of_bangeod(found)
            if target is not None:
                yield found, target


def _within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_imports_point_down() -> None:
    wrong = []
    for found, target in imports():
        part = found.module.split(".")[0]
        if not _within(target, {part, *GROUND, *MAY_IMPORT.get(part, set())}):
            wrong.append(str(found))
    assert wrong == []


def test_jobs_and_geo_know_the_stores_protocol_and_not_sqlite() -> None:
    wrong = [
        str(found)
        for found, target in imports()
        if _within(found.module, {"jobs", "geo", "api"}) and _within(target, {"store"}) and target != "store.port"
    ]
    assert wrong == []


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    wrong = [
        str(found)
        for module in modules()
        for found in _imports(module)
        if found.at_run_time and found.target.split(".")[0] == library and not _within(module, PLACES[library])
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {module: set() for module in modules()}
    for found, target in imports():
        if found.at_run_time and target != found.module:
            edges[found.module].add(target)
    settled: set[str] = set()
    while free := {module for module, targets in edges.items() if module not in settled and targets <= settled}:
        settled |= free
    assert sorted(edges.keys() - settled) == []


def test_no_function_is_too_long() -> None:
    functions = [
        (f"{module}.{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [(name, length) for name, length in functions if length > LONGEST_FUNCTION] == []


def test_each_module_says_in_its_first_line_what_it_is_about() -> None:
    assert [module for module, tree in modules().items() if not ast.get_docstring(tree)] == []


def _mirrored(test: Path) -> set[str]:
    """Return the modules that a module of tests may be named after: test_cache_flush after cache_flush, or cache."""
    *packages, name = test.relative_to(TESTS).with_suffix("").parts
    words = name.removeprefix("test_").split("_")
    return {".".join([*packages, "_".join(words[:number])]) for number in range(1, len(words) + 1)}


def test_a_module_of_tests_stands_where_the_module_does_that_it_tests() -> None:
    """It has that one's name, and perhaps more words that say which aspect of it."""
    wrong = [
        str(test.relative_to(TESTS))
        for test in sorted(TESTS.rglob("test_*.py"))
        if _mirrored(test).isdisjoint(modules().keys() | OF_THE_REPOSITORY | OF_MANY)
    ]
    assert wrong == []
