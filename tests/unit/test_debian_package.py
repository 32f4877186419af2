"""What contrib/debian says of bangeod agrees with bangeod."""

import re
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import bangeod

DEBIAN = Path(__file__).resolve().parents[2] / "contrib" / "debian"
CHANGELOG = (DEBIAN / "changelog").read_text()


def test_the_changelog_begins_with_this_version() -> None:
    assert CHANGELOG.startswith(f"bangeod ({bangeod.__version__}) ")


def test_each_version_has_one_entry_and_the_newest_is_the_first() -> None:
    versions = re.findall(r"^bangeod \((.*?)\) ", CHANGELOG, flags=re.MULTILINE)
    assert len(set(versions)) == len(versions)
    times = [parsedate_to_datetime(line) for line in re.findall(r"^ -- .*>  (.*)$", CHANGELOG, flags=re.MULTILINE)]
    assert len(times) == len(versions)
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("script", ["build", "preinst", "postinst", "prerm", "postrm"])
def test_each_script_is_one_that_the_shell_reads(script: str) -> None:
    told = subprocess.run(["sh", "-n", str(DEBIAN / script)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
