"""What contrib/install does to a machine on which bangeod is installed already."""

from tests.systemd.installed import INSTALL
from tests.systemd.machine import Machine
from tests.systemd.packages import ROOT
from tests.systemd.service import CONFIG, DATABASE, Service

LOOK = "find /opt/bangeod /etc /usr/local /var/lib/bangui -printf '%p %i %m %u %g %s %T@\\n' | sort"


def test_running_it_again_changes_nothing(machine: Machine, service: Service) -> None:
    before = machine.run("sh", "-c", LOOK).stdout
    assert DATABASE in before
    assert CONFIG in before
    assert "Nothing to do" in machine.run(*INSTALL).stdout
    assert machine.run("sh", "-c", LOOK).stdout == before


def test_the_shell_completes_commands_and_man_finds_the_page(machine: Machine) -> None:
    completions = "/usr/local/share/bash-completion/completions/bangeod"
    asked = "COMP_WORDS=(bangeod geo); COMP_CWORD=1; _bangeod_completion bangeod; echo ${COMPREPLY[@]}"
    assert machine.run("bash", "-c", f"source {completions}; {asked}").stdout == "geodb\n"
    assert machine.exists("/usr/local/share/zsh/site-functions/_bangeod")
    assert machine.exists("/usr/local/share/fish/vendor_completions.d/bangeod.fish")
    assert machine.read("/usr/local/share/man/man8/bangeod.8") == (ROOT / "contrib" / "man" / "bangeod.8").read_text()


def test_only_root_may_run_it(machine: Machine) -> None:
    refused = machine.run(INSTALL[0], user="bangui", check=False)
    assert refused.returncode == 1
    assert "only root can do this" in refused.stderr


def test_a_python_that_is_missing_is_named(machine: Machine) -> None:
    refused = machine.run(*INSTALL, "--python", "/nowhere/python3", check=False)
    assert refused.returncode == 1
    assert "no Python that will do was found at /nowhere/python3" in refused.stderr
