"""What systemd makes of the unit's file: how exposed the service is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.packages import ROOT

UNITS = ROOT / "contrib" / "systemd"
UNIT = (UNITS / "bangeod.service").read_text()
DROP_IN = (UNITS / "ip-api.conf").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(("text", "most"), [(UNIT, 0.3), (UNIT + DROP_IN, 1.1)], ids=["no network", "ip-api"])
def test_the_exposure_is_no_higher_than_promised(text: str, most: float, tmp_path: Path) -> None:
    unit = tmp_path / "bangeod.service"
    unit.write_text(text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    level = re.search(r"Overall exposure level for bangeod.service: ([\d.]+)", told)
    assert level is not None, told
    assert float(level[1]) <= most
