"""What contrib/debian says of bangeod agrees with bangeod."""

import re
import shutil
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import bangeod

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "contrib" / "debian"
CHANGELOG = (DEBIAN / "changelog").read_text()


def test_the_changelog_begins_with_this_version() -> None:
    assert CHANGELOG.startswith(f"bangeod ({bangeod.__version__}) ")


def test_each_version_has_one_entry_and_the_newest_is_the_first() -> None:
    versions = re.findall(r"^bangeod \((.*?)\) ", CHANGELOG, flags=re.MULTILINE)
    assert len(set(versions)) == len(versions)
    times = [parsedate_to_datetime(line) for line in re.findall(r"^ -- .*>  (.*)$", CHANGELOG, flags=re.MULTILINE)]
    assert len(times) == len(versions)
    assert times == sorted(times, reverse=True)


def build(source: Path, *arguments: str, path: str | None = None) -> tuple[int, str]:
    """Call the script of a checkout, with another PATH if need be; return its status and what it says is wrong."""
    command = ["/bin/sh", str(source / "contrib" / "debian" / "build"), *arguments]
    environment = None if path is None else {"PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_an_argument_that_it_does_not_know_is_wrong_usage() -> None:
    status, told = build(ROOT, "--whels", "here")
    assert status == 2
    assert "unknown argument: --whels" in told


@pytest.mark.slow
def test_what_is_missing_for_the_build_is_told_with_what_mends_it(tmp_path: Path) -> None:
    for program in ("dirname", "mkdir", "sed", "true"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    (tmp_path / "dpkg").symlink_to(str(shutil.which("true")))
    status, told = build(ROOT, "--output", str(tmp_path), path=str(tmp_path))
    assert status == 1
    assert re.search(
        r"as root: apt-get install --yes --no-install-recommends systemd .*dpkg-dev$", told, flags=re.MULTILINE
    )


@pytest.mark.slow
def test_a_version_without_an_entry_in_the_changelog_is_not_built(tmp_path: Path) -> None:
    shutil.copytree(DEBIAN, tmp_path / "contrib" / "debian")
    (tmp_path / "bangeod").mkdir()
    (tmp_path / "bangeod" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    status, told = build(tmp_path, "--output", str(tmp_path))
    assert status == 1
    assert f"bangeod is 0.0.1, and the first entry of contrib/debian/changelog is {bangeod.__version__}" in told


@pytest.mark.slow
@pytest.mark.parametrize("script", ["build", "preinst", "postinst", "prerm", "postrm"])
def test_each_script_is_one_that_the_shell_reads(script: str) -> None:
    told = subprocess.run(["sh", "-n", str(DEBIAN / script)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
