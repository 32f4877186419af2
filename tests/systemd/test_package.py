"""The Debian package: built, installed, upgraded, removed and purged, as a person does it who answers no question."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final, NamedTuple

import pytest

from tests.support.feed import eventually
from tests.systemd.installed import INSTALL, SECONDS, WHEELS
from tests.systemd.machine import Machine
from tests.systemd.packages import ROOT
from tests.systemd.service import CONFIG, DATABASE, EMPTY, SOURCE, STATE, UNIT
from tests.systemd.systems import DEBIAN_13, HERE
from tests.systemd.test_readme import PACKAGE, SHARE, START

on_each = pytest.mark.systems(HERE, DEBIAN_13)

BUILT: Final = "/srv/packages"
BEFORE: Final = "/srv/before"  # the checkout, as it might have been a version ago
ASIDE: Final = "/srv/installed"  # the program as contrib/install left it
LINTED: Final = "/srv/lintian"  # what lintian says, and its exit status
LOCK: Final = f"{DATABASE}.bangeod-lock"
ETC: Final = "/etc/systemd/system"
TIMER: Final = "bangeod-geodb-update.timer"
# In a container's image, programs are kept from starting services while they are installed.
PREPARE: Final = f"""
rm -f /usr/sbin/policy-rc.d
cp -a /opt/bangeod {ASIDE}
mkdir -p {BUILT} {BEFORE}
cd {SOURCE}
cp -r bangeod contrib LICENSE README.md bangeod.toml.example pyproject.toml {BEFORE}
cd {BEFORE}
sed -i 's/^__version__ = .*/__version__ = "0.0.1"/' bangeod/__init__.py
sed -i '1s/(.*)/(0.0.1)/' contrib/debian/changelog
echo '# As the version before had it.' >>bangeod.toml.example
"""
# Side by side: each takes one core. What is packed quickly is as good here. lintian takes its time while tests run.
BUILD: Final = f"""
export DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1
{BEFORE}/contrib/debian/build --wheels {WHEELS} --output {BUILT}/before & before=$!
{SOURCE}/contrib/debian/build --wheels {WHEELS} --output {BUILT}/now
wait $before
{{ nice lintian --fail-on error {BUILT}/now/*.deb; echo "ended with $?"; }} >{LINTED} 2>&1 &
"""
AS_AT_FIRST: Final = f"""
systemctl stop 'bangeod*'
dpkg --purge bangeod
[ ! -e /opt/bangeod ] || {SOURCE}/contrib/install --uninstall --purge
rm -rf /opt/bangeod /run/systemd/system/bangeod* {ETC}/bangeod* {ETC}/*.wants/bangeod* {PurePosixPath(DATABASE).parent}
cp -a {EMPTY} {PurePosixPath(DATABASE).parent}
systemctl daemon-reload
systemctl reset-failed
"""


class Packages(NamedTuple):
    """The files of two versions, where the machine has them."""

    before: str
    now: str


@pytest.fixture(scope="module")
def packages(machine: Machine) -> Iterator[Packages]:
    """Build them; when the last test has ended, bangeod is there again as contrib/install leaves it."""
    if not has(machine, "dpkg-shlibdeps"):
        pytest.skip("the machine has no dpkg-dev (apt-get install dpkg-dev)")
    machine.run("sh", "-ec", PREPARE)
    machine.run("sh", "-ec", BUILD, timeout=SECONDS)
    yield Packages(*(machine.run("sh", "-c", f"echo {BUILT}/{name}/*.deb").stdout.strip() for name in Packages._fields))
    machine.run("sh", "-c", AS_AT_FIRST)
    machine.run("mv", ASIDE, "/opt/bangeod")
    machine.run(*INSTALL, timeout=SECONDS)


@pytest.fixture
def clean(machine: Machine, packages: Packages) -> Machine:
    """Give the machine without bangeod, but with BanGUI and its database."""
    machine.run("sh", "-c", AS_AT_FIRST)
    return machine


def has(machine: Machine, program: str) -> bool:
    return machine.run("sh", "-c", f"command -v {program}", check=False).returncode == 0


def install(machine: Machine, package: str) -> str:
    """Install it with apt, and return what that says. Nobody is there to answer: a question is an error."""
    done = machine.run("apt-get", "install", "--yes", "--quiet", "--allow-downgrades", package)
    return done.stdout + done.stderr


def pid(machine: Machine) -> int:
    """Return the number of the daemon, 0 where it does not run."""
    return int(show(machine, "MainPID"))


def show(machine: Machine, name: str, unit: str = UNIT) -> str:
    return machine.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()


def rights(machine: Machine, path: str) -> str:
    return machine.run("stat", "--format=%U:%G %a", path).stdout.strip()


def packaged(text: str) -> str:
    """Return what the package has in place of a file of contrib/, but for what the first two lines say of its place."""
    return below(text.replace("/opt/bangeod", "/usr/lib/bangeod"))


def below(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[2:])


def remains(machine: Machine) -> list[str]:
    """Return all that has bangeod's name where programs and data are, but for the database's own neighbour."""
    places = ("/etc", "/opt", "/run", "/usr", "/var/cache", "/var/lib", "/var/log")
    found = machine.run("find", *places, "-xdev", "-name", "*bangeod*").stdout.split()
    return sorted(path for path in found if not path.startswith((DATABASE, "/var/lib/dpkg/")))


@pytest.fixture(scope="module")
def taken_over(machine: Machine, packages: Packages) -> Machine:
    """Give the machine after the package came over an installation by contrib/install, which was in use."""
    machine.run(*INSTALL, timeout=SECONDS)
    machine.write(CONFIG, "[jobs.session_cleanup]\ninterval = '7m'\n")
    machine.run("sh", "-ec", f"chown root:bangeod {CONFIG}; chmod 640 {CONFIG}")
    machine.write(
        f"{ETC}/{UNIT}.d/own.conf", "[Service]\nRestartSec=17s\nExecStartPre=/opt/bangeod/bin/bangeod --version\n"
    )
    machine.run("sed", "-i", "s/^OnCalendar=.*/OnCalendar=daily/", f"{ETC}/{TIMER}")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "--now", UNIT)
    before = pid(machine)
    assert "taking over from contrib/install" in install(machine, packages.now)
    assert pid(machine) not in (0, before)
    return machine


def test_over_contrib_install_the_daemon_goes_on_from_the_packages_files(taken_over: Machine) -> None:
    assert show(taken_over, "FragmentPath").endswith(f"/lib/systemd/system/{UNIT}")
    assert "/usr/lib/bangeod/bin/bangeod" in taken_over.run("cat", f"/proc/{pid(taken_over)}/cmdline").stdout
    assert taken_over.run("bangeod", "status").returncode == 0
    assert taken_over.run("systemctl", "is-enabled", UNIT).stdout == "enabled\n"
    assert taken_over.run("sh", "-c", "command -v bangeod").stdout == "/usr/bin/bangeod\n"


def test_over_contrib_install_the_config_and_drop_ins_stay_as_they_were_edited(taken_over: Machine) -> None:
    assert taken_over.read(CONFIG) == "[jobs.session_cleanup]\ninterval = '7m'\n"
    assert rights(taken_over, CONFIG) == "root:bangeod 640"
    assert show(taken_over, "RestartUSec") == "17s"
    assert "/usr/lib/bangeod/bin/bangeod --version" in taken_over.read(f"{ETC}/{UNIT}.d/own.conf")


def test_over_contrib_install_a_unit_that_was_edited_stays_in_force(taken_over: Machine) -> None:
    assert show(taken_over, "FragmentPath", TIMER) == f"{ETC}/{TIMER}"
    assert "OnCalendar=daily" in taken_over.read(f"{ETC}/{TIMER}")


def test_over_contrib_install_nothing_else_of_it_stays(taken_over: Machine) -> None:
    local = [path for path in remains(taken_over) if path.startswith(("/etc/", "/opt/", "/usr/local/"))]
    wanted = "multi-user.target.wants"
    assert local == sorted(["/etc/bangeod", CONFIG, f"{ETC}/{TIMER}", f"{ETC}/{UNIT}.d", f"{ETC}/{wanted}/{UNIT}"])


def test_contrib_install_refuses_beside_the_package(taken_over: Machine) -> None:
    for arguments in ([], ["--uninstall"]):
        refused = taken_over.run(INSTALL[0], *arguments, check=False)
        assert refused.returncode == 1
        assert "bangeod's Debian package is installed here" in refused.stderr


@pytest.fixture(scope="module")
def fresh(machine: Machine, packages: Packages) -> Machine:
    """Give the machine with the package installed by the README's line, and nothing started."""
    machine.run("sh", "-c", AS_AT_FIRST)
    machine.run("sh", "-ec", f"chmod 750 $(dirname {DATABASE}); chmod 644 {DATABASE}*")  # BanGUI's alone
    tools, build, line = PACKAGE.splitlines()
    assert (tools.split()[-1], build) == ("dpkg-dev", "contrib/debian/build")
    machine.run("sh", "-ec", f"cd {BUILT}/now; {line}")
    return machine


@on_each
def test_a_fresh_installation_starts_nothing_and_has_a_config(fresh: Machine) -> None:
    assert (pid(fresh), fresh.run("systemctl", "is-enabled", UNIT, check=False).stdout) == (0, "disabled\n")
    assert fresh.read(CONFIG) == (ROOT / "bangeod.toml.example").read_text()
    assert rights(fresh, CONFIG) == "root:bangeod 640"


@on_each
def test_it_has_what_contrib_install_lays_down(fresh: Machine) -> None:
    paths = [line.split()[1] for line in fresh.read(f"{ASIDE}/laid-down").splitlines()]
    assert f"{ETC}/{UNIT}" in paths
    for path in paths:
        if path.startswith("/etc/"):
            source = ROOT / "contrib" / path.removeprefix("/etc/").replace("systemd/system", "systemd")
            assert below(fresh.read(f"/usr/lib/{path.removeprefix('/etc/')}")) == packaged(source.read_text())
    page = ROOT / "contrib" / "man" / "bangeod.8"
    assert fresh.run("zcat", f"/usr/share/man/man8/{page.name}.gz").stdout == page.read_text()
    completions = "/usr/share/bash-completion/completions/bangeod"
    asked = "COMP_WORDS=(bangeod geo); COMP_CWORD=1; _bangeod_completion bangeod; echo ${COMPREPLY[@]}"
    assert fresh.run("bash", "-c", f"source {completions}; {asked}").stdout == "geodb\n"
    # More than these, and what was looked at, it does not lay down.
    assert len([path for path in paths if path.startswith("/usr/local/share/")]) == 4
    assert fresh.exists("/usr/share/zsh/vendor-completions/_bangeod")
    assert fresh.exists("/usr/share/fish/vendor_completions.d/bangeod.fish")


@on_each
def test_it_is_small_and_bound_to_its_python(fresh: Machine) -> None:
    shown = "--showformat=${Installed-Size}\n${Depends}"
    size, needed = fresh.run("dpkg-query", "--show", shown, "bangeod").stdout.splitlines()
    assert int(size) <= 45_000
    assert "python3 (>= 3." in needed
    assert "python3 (<< 3." in needed
    python = fresh.run("find", "/usr/lib/bangeod/bin", "-type", "l", "-printf", "%p -> %l\n").stdout
    assert python == "/usr/lib/bangeod/bin/python3 -> /usr/bin/python3\n"
    listed = fresh.run("dpkg", "--listfiles", "bangeod").stdout.splitlines()
    assert not {PurePosixPath(path).name for path in listed} & {"pip", "setuptools", "tests"}


def test_what_check_advises_lets_the_service_have_the_network(fresh: Machine) -> None:
    fresh.write("/srv/ip-api.toml", "[geo.ip_api]\nenabled = true\n")
    told = fresh.run("bangeod", "check", "--config", "/srv/ip-api.toml", check=False).stdout.splitlines()
    fault = next(index for index, line in enumerate(told) if "gives the service no network" in line)
    fresh.run("sh", "-ec", told[fault + 1].strip().removeprefix("mend: "))
    assert show(fresh, "PrivateNetwork") == "no"
    fresh.run("sh", "-ec", f"rm -r {ETC}/{UNIT}.d; systemctl daemon-reload")


@on_each
def test_the_readmes_chapter_takes_a_fresh_machine_to_a_daemon_that_answers(fresh: Machine) -> None:
    assert fresh.run("bangeod", "check", check=False).returncode == 1
    told = fresh.run("sh", "-ec", SHARE + START).stdout
    assert "no faults" in told
    assert "Active: active (running)" in told
    assert "8.8.8.8" in fresh.run("bangeod", "lookup", "8.8.8.8").stdout


@on_each
def test_an_upgrade_restarts_the_daemon_and_keeps_config_and_state(clean: Machine, packages: Packages) -> None:
    install(clean, packages.before)
    clean.run("sh", "-ec", f"sed -i '/^max_entries/s/=.*/= 1000/' {CONFIG}")
    clean.run("systemctl", "enable", "--now", UNIT)
    config, before = clean.read(CONFIG), pid(clean)
    clean.write(f"{STATE}/mark", "kept")
    install(clean, packages.now)
    assert pid(clean) not in (0, before)
    assert clean.run("bangeod", "status").stdout.startswith(f"bangeod {version(clean)}, ")
    assert (clean.read(CONFIG), rights(clean, CONFIG)) == (config, "root:bangeod 640")
    assert clean.read(f"{STATE}/mark") == "kept"


def version(machine: Machine) -> str:
    return machine.run("dpkg-query", "--show", "--showformat=${Version}", "bangeod").stdout.partition("~")[0]


def test_an_upgrade_leaves_a_stopped_daemon_stopped_and_renews_an_unedited_config(
    clean: Machine, packages: Packages
) -> None:
    install(clean, packages.before)
    assert "# As the version before had it." in clean.read(CONFIG)
    install(clean, packages.now)
    assert pid(clean) == 0
    assert clean.read(CONFIG) == (ROOT / "bangeod.toml.example").read_text()
    assert rights(clean, CONFIG) == "root:bangeod 640"


def test_the_config_gets_the_rights_that_the_administrator_told_dpkg(clean: Machine, packages: Packages) -> None:
    clean.run("dpkg-statoverride", "--add", "root", "adm", "0644", CONFIG)
    try:
        install(clean, packages.now)
        assert rights(clean, CONFIG) == "root:adm 644"
    finally:
        clean.run("dpkg-statoverride", "--remove", CONFIG)


@on_each
def test_purging_leaves_the_database_and_its_group_alone(clean: Machine, packages: Packages) -> None:
    install(clean, packages.now)
    clean.run("systemctl", "enable", "--now", UNIT, TIMER)
    clean.run("systemctl", "stop", UNIT)
    clean.write(f"{ETC}/{UNIT}.d/own.conf", "[Service]\nRestartSec=17s\n")
    clean.run("cp", "/usr/share/bangeod/bangeod-database.conf", "/etc/tmpfiles.d")
    before = clean.run("sha256sum", DATABASE).stdout
    assert clean.exists(LOCK)
    clean.run("apt-get", "purge", "--yes", "--quiet", "bangeod")
    assert remains(clean) == []
    assert not clean.exists(LOCK)
    assert clean.run("sha256sum", DATABASE).stdout == before
    assert clean.run("id", "bangeod", check=False).returncode != 0
    assert clean.run("getent", "group", "bangui").returncode == 0


@pytest.fixture(scope="module")
def removed(machine: Machine, packages: Packages) -> Machine:
    """Give the machine after a package that was in use was removed."""
    machine.run("sh", "-c", AS_AT_FIRST)
    install(machine, packages.now)
    machine.run("systemctl", "enable", "--now", UNIT)
    machine.run("sh", "-c", f"echo '# mine' >>{CONFIG}; touch {STATE}/mark")
    machine.run("apt-get", "remove", "--yes", "--quiet", "bangeod")
    return machine


@on_each
def test_removing_stops_it_and_leaves_config_state_and_database(removed: Machine) -> None:
    link = f"{ETC}/multi-user.target.wants/{UNIT}"
    assert remains(removed) == sorted(["/etc/bangeod", CONFIG, link, STATE])
    assert removed.run("pgrep", "--full", "bangeod run", check=False).stdout == ""
    assert removed.exists(DATABASE)


def test_what_was_removed_and_is_installed_again_finds_all_as_it_was(removed: Machine, packages: Packages) -> None:
    install(removed, packages.now)
    assert removed.read(CONFIG).endswith("# mine\n")
    assert removed.exists(f"{STATE}/mark")
    assert removed.run("systemctl", "is-enabled", UNIT).stdout == "enabled\n"
    removed.run("apt-get", "remove", "--yes", "--quiet", "bangeod")


def test_purging_what_was_removed_leaves_what_contrib_install_has_made_since(removed: Machine) -> None:
    removed.write("/opt/bangeod/pyvenv.cfg", "")
    removed.write(f"{ETC}/{UNIT}", "")
    assert "contrib/install uses them" in removed.run("dpkg", "--purge", "bangeod").stdout
    assert removed.exists(CONFIG)
    assert removed.run("id", "bangeod").returncode == 0


def test_lintian_finds_no_error(machine: Machine, packages: Packages) -> None:
    if not has(machine, "lintian"):
        pytest.skip("the machine has no lintian (apt-get install lintian)")
    eventually(lambda: "ended with" in machine.read(LINTED), "lintian's end", timeout=SECONDS)
    assert "ended with 0" in machine.read(LINTED)
