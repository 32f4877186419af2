"""Asking the service over its socket, as the web app and as a web server in front of Prometheus."""

import json
import re

import pytest

from tests.systemd.packages import ROOT
from tests.systemd.service import DATABASE, PYTHON, SOCKET, WEB_USER, Service

WEB_SERVER = "www-data"
DROP_IN = re.findall(r"^# +(ExecStartPost=.*)$", (ROOT / "contrib/prometheus/scrape.yml").read_text(), re.MULTILINE)
ASK = """
import sys, httpx
with httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1]), base_url="http://x") as client:
    print(client.get(sys.argv[2]).raise_for_status().text)
"""


def asked(service: Service, path: str, user: str) -> str:
    """Return what a user is answered."""
    return service.machine.run(PYTHON, "-c", ASK, SOCKET, path, user=user).stdout


def test_the_web_app_may_ask(service: Service) -> None:
    service.start()
    assert json.loads(asked(service, "/v1/lookup/8.8.8.8", WEB_USER))["country_code"] == "US"


def test_the_figures_of_the_dashboard_are_there_within_the_sandbox(service: Service) -> None:
    service.start()
    figures = set(re.findall(r"^(\w+)", asked(service, "/metrics", WEB_USER), re.MULTILINE))
    wanted = set(re.findall(r"\bprocess_\w+", (ROOT / "contrib/grafana/bangeod.json").read_text()))
    assert len(wanted) >= 2
    assert wanted <= figures


def test_a_web_server_may_ask_with_the_drop_in_of_scrape_yml_and_do_nothing_else(service: Service) -> None:
    if service.machine.run("which", "setfacl", check=False).returncode:
        pytest.skip("setfacl is not installed (apt-get install acl)")
    service.start()
    assert "bangeod_info" not in refused(service)
    service.stop()
    service.drop_in(*DROP_IN)
    service.start()
    assert "bangeod_info" in asked(service, "/metrics", WEB_SERVER)
    for file in (DATABASE, "/etc/bangeod/bangeod.toml"):
        assert "Permission denied" in service.machine.run("cat", file, user=WEB_SERVER, check=False).stderr


def refused(service: Service) -> str:
    """Return what comes of asking without the right to."""
    done = service.machine.run(PYTHON, "-c", ASK, SOCKET, "/metrics", user=WEB_SERVER, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr
