"""How a build for the benchmarks is made and kept: what it is made of, and when it is made anew."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.against import builds
from tests.support.mmdb.published import NotToBeHadError

Commit = Callable[[], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a checkout with a package in it."""
    root = tmp_path / "checkout"
    (root / "bangeod" / "__pycache__").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "bangeod/__init__.py", "bangeod/__pycache__/a.pyc"):
        (root / name).write_text(name)
    return root


@pytest.fixture
def commit(root: Path) -> Commit:
    """Give a function that commits what there is in the checkout, and returns the commit's id."""

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    def commit() -> str:
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message=x")
        return git("rev-parse", "HEAD")

    try:
        git("init", "--quiet")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return commit


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """Note what is installed, and the text of the package in it, without pip."""
    noted: list[tuple[Path, str]] = []

    def install(build: builds.Build, source: Path) -> None:
        build.directory.mkdir(exist_ok=True)
        noted.append((build.directory, (source / "bangeod" / "__init__.py").read_text()))

    monkeypatch.setattr(builds, "_install", install)
    return noted


# --- a commit ---


def test_a_commits_build_is_made_of_its_files_and_not_of_those_that_are_there_now(
    root: Path, commit: Commit, installed: list[tuple[Path, str]], tmp_path: Path
) -> None:
    found = commit()
    (root / "bangeod" / "__init__.py").write_text("later")
    with builds.of_commit("HEAD", tmp_path, root) as build:
        assert build.name == found[:10]
        assert installed == [(tmp_path / "builds" / found, "bangeod/__init__.py")]


def test_a_commits_build_is_made_once(
    root: Path, commit: Commit, installed: list[tuple[Path, str]], tmp_path: Path
) -> None:
    for name in (commit(), "HEAD", "HEAD"):
        with builds.of_commit(name, tmp_path, root):
            assert len(installed) == 1


def test_a_commit_that_there_is_not_is_said_to_be_missing(root: Path, commit: Commit, tmp_path: Path) -> None:
    commit()
    with (
        pytest.raises(NotToBeHadError, match=r"0123abcd.*no such commit"),
        builds.of_commit("0123abcd", tmp_path, root),
    ):
        pass


def test_outside_of_a_repository_there_is_no_commit(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotToBeHadError, match="rev-parse"), builds.of_commit("HEAD", tmp_path, root):
        pass


# --- the working tree ---


def test_the_working_trees_build_is_made_anew_once_a_file_has_changed(
    root: Path, installed: list[tuple[Path, str]], tmp_path: Path
) -> None:
    for text in ("one", "one", "two", "two"):
        (root / "bangeod" / "__init__.py").write_text(text)
        with builds.of_working_tree(tmp_path, root) as build:
            assert build.name == "working tree"
    assert [text for _, text in installed] == ["one", "two"]
    assert len({directory for directory, _ in installed}) == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "README.md", "bangeod/__init__.py", "bangeod/new.py"])
def test_what_is_installed_counts_for_the_fingerprint(root: Path, name: str) -> None:
    before = builds.fingerprint(root)
    (root / name).write_text("changed")
    assert builds.fingerprint(root) != before


@pytest.mark.parametrize("name", ["bangeod/__pycache__/a.pyc", "notes.txt"])
def test_what_is_not_installed_does_not_count(root: Path, name: str) -> None:
    before = builds.fingerprint(root)
    (root / name).write_text("changed")
    assert builds.fingerprint(root) == before


def test_a_file_that_has_moved_counts(root: Path) -> None:
    before = builds.fingerprint(root)
    (root / "bangeod" / "__init__.py").rename(root / "bangeod" / "__main__.py")
    assert builds.fingerprint(root) != before


# --- both ---


def test_a_build_whose_making_was_broken_off_is_made_again(
    root: Path, installed: list[tuple[Path, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(build: builds.Build, source: Path) -> None:
        build.directory.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(builds, "_install", break_off)
        with pytest.raises(KeyboardInterrupt), builds.of_working_tree(tmp_path, root):
            pass
    with builds.of_working_tree(tmp_path, root):
        assert len(installed) == 1


def test_a_build_is_made_anew_for_other_libraries(
    root: Path, installed: list[tuple[Path, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for libraries in (["aiohttp==3.14.4"], ["aiohttp==3.14.4"], ["aiohttp==3.14.5"]):
        monkeypatch.setattr(builds, "_libraries", lambda found=libraries: found)
        with builds.of_working_tree(tmp_path, root):
            pass
    assert len(installed) == 2


def test_two_runs_may_measure_one_build_at_the_same_time(
    root: Path, installed: list[tuple[Path, str]], tmp_path: Path
) -> None:
    with builds.of_working_tree(tmp_path, root), builds.of_working_tree(tmp_path, root):
        assert len(installed) == 1


def test_the_builds_that_were_used_longest_ago_go_but_none_that_is_in_use(
    root: Path, commit: Commit, installed: list[tuple[Path, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "KEPT", 2)
    ids = [commit_anew(root, commit, text) for text in ("one", "two", "three", "four")]
    with builds.of_commit(ids[0], tmp_path, root):
        for found in (*ids[1:], ids[2], ids[3]):
            with builds.of_commit(found, tmp_path, root):
                pass
    assert {directory.name for directory in (tmp_path / "builds").iterdir() if directory.is_dir()} == {
        ids[0],
        ids[2],
        ids[3],
    }
    assert len(installed) == 4


def commit_anew(root: Path, commit: Commit, text: str) -> str:
    """Commit a change of the package."""
    (root / "bangeod" / "__init__.py").write_text(text)
    return commit()


def test_what_is_measured_is_told_nothing_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BANGEOD_CONFIG", "NOTIFY_SOCKET", "PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "x")
    found = builds.measured_environment(NOTIFY_SOCKET="y")
    assert found["NOTIFY_SOCKET"] == "y"
    assert not [name for name in found if name.startswith(("BANGEOD_", "PYTHON"))]
