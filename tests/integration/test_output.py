"""Results that can't be written, and messages that can't: whatever the command, never a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import pytest

from bangeod.cli import COMMANDS, cli
from bangeod.cli.streams import guard
from bangeod.errors import OutputError
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, text
from tests.support.daemon.process import bangeod, environment
from tests.support.feed import DEADLINE

LOST = "the result can't be written to standard output ("
FULL = Path("/dev/full")
SINKS = ("full disk", "closed pipe", "closed")

# Each command that prints a result, as it is called where it has one; DIRECTORY and CONFIG are put in.
PRINTING: Mapping[str, Sequence[str]] = {
    "init": ("init", "DIRECTORY"),
    "check": ("check", "--config", "CONFIG"),
    "job list": ("job", "list", "--config", "CONFIG"),
    "job run": ("job", "run", "session_cleanup", "--config", "CONFIG"),
    "lookup": ("lookup", "8.8.8.8", "--config", "CONFIG"),
    "top": ("top", "--config", "CONFIG"),
    "status": ("status", "--config", "CONFIG"),
    "status --watch": ("status", "--watch", "--config", "CONFIG"),
    "config show": ("config", "show", "--config", "CONFIG"),
}
ELSEWHERE = {
    "run",  # has no result
    "geodb update",  # needs a server, and has its own test: tests/integration/test_geodb_command.py
    "migrate",  # likewise: tests/integration/test_migrate_command.py
}


def leaves(command: click.Command, *path: str) -> Iterator[str]:
    """Yield the name of each command that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, *path, name)
    else:
        yield " ".join(path)


ALL = tuple(leaves(cli))


def call(
    *words: str, sink: str, stderr: int = subprocess.PIPE, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output goes to such a place."""
    command = [sys.executable, "-m", "bangeod", *words]
    output = -1
    if sink == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    elif sink == "full disk":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, output = os.pipe()
        os.close(reading)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if output < 0 else output,
            stderr=stderr,
            text=True,
            timeout=DEADLINE,
            check=False,
            env=environment(environ),
        )
    finally:
        if output >= 0:
            os.close(output)


def assert_lost(ran: subprocess.CompletedProcess[str]) -> None:
    """Look that it is one line that says so, and status 1."""
    assert ran.returncode == 1, ran.stderr
    (line,) = (line for line in ran.stderr.splitlines() if not line.startswith('{"timestamp"'))  # that is the log
    assert line.startswith(LOST)


def test_each_command_is_tried_here_or_said_to_be_elsewhere() -> None:
    assert {name.split()[0] for name in ALL} == set(COMMANDS)
    assert set(ALL) == {name.removesuffix(" --watch") for name in PRINTING} | ELSEWHERE


@pytest.mark.parametrize("name", PRINTING)
def test_a_result_that_can_not_be_written_is_one_line_and_status_1(
    start: Start, place: Installation, tmp_path: Path, name: str
) -> None:
    if name.startswith("status"):
        start({"api.enabled": True})
    for sink in SINKS:
        put_in = {"CONFIG": str(place.config), "DIRECTORY": str(tmp_path / sink)}
        assert_lost(call(*(put_in.get(word, word) for word in PRINTING[name]), sink=sink))


@pytest.mark.parametrize("name", ["", *ALL])
def test_help_that_can_not_be_written_is_one_line_and_status_1(name: str) -> None:
    assert_lost(call(*name.split(), "--help", sink="full disk"))


def test_the_version_and_the_completion_that_can_not_be_written_too() -> None:
    assert_lost(call("--version", sink="closed pipe"))
    assert_lost(call(sink="full disk", environ={"_BANGEOD_COMPLETE": "zsh_source"}))
    words = {"_BANGEOD_COMPLETE": "zsh_complete", "COMP_WORDS": "bangeod ", "COMP_CWORD": "1"}
    assert_lost(call(sink="closed", environ=words))


def test_what_was_to_be_done_is_done(place: Installation) -> None:
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    assert_lost(call("job", "run", "session_cleanup", "--config", str(place.config), sink="full disk"))
    assert place.tokens() == set()


@pytest.mark.parametrize("words", [("job", "run", "no-such-job"), ("no-such-command",), ("config", "show")])
@pytest.mark.parametrize("closed", [False, True])
def test_what_can_not_be_said_changes_no_status(place: Installation, words: Sequence[str], closed: bool) -> None:
    place.config.write_text("nonsense")
    status = 78 if words[0] == "config" else 2
    command = [sys.executable, "-m", "bangeod", *words, *(("--config", str(place.config)) if status == 78 else ())]
    redirection = 'exec "$@" 2>&-' if closed else 'exec "$@" 2>/dev/full'
    ran = subprocess.run(
        ["sh", "-c", redirection, "sh", *command], capture_output=True, text=True, check=False, env=environment()
    )
    assert (ran.returncode, ran.stdout) == (status, "")


def test_where_neither_can_be_written_the_status_is_left(place: Installation) -> None:
    with FULL.open("w") as full:
        ran = call("job", "list", "--config", str(place.config), sink="full disk", stderr=full.fileno())
    assert ran.returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_has_no_letters_for_is_replaced(place: Installation, encoding: str) -> None:
    place.insert(rows=[("9.9.9.9", "JP", text())])
    place.execute("UPDATE geo_cache SET org = '\u00dcber \u65e5\u672c'")
    for options in ((), ("--json",)):
        ran = subprocess.run(
            [sys.executable, "-m", "bangeod", "lookup", "9.9.9.9", "--cached-only", *options, "--config", place.config],
            capture_output=True,
            check=False,
            env=environment({"PYTHONIOENCODING": encoding, "LC_ALL": "C"}),
        )
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"ber " in ran.stdout


# --- the streams themselves ---


def test_a_place_that_has_no_room_just_now_is_waited_for() -> None:
    """A pipe that somebody set not to block takes all of a large result, as it is read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    script = "from bangeod.cli.streams import guard; guard(); print('x' * 1_000_000, flush=True)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=writing, env=environment()) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert len(pipe.read()) == 1_000_001
        assert process.wait(DEADLINE) == 0


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    script = """if True:
        import os, sys
        from bangeod.cli.streams import guard
        guard()
        print(os.open("/", os.O_RDONLY), file=sys.stderr)
    """
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        env=environment(),
    )
    assert int(ran.stderr) > 2


def test_a_failure_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w") as full, FULL.open("w") as also:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", also)
        guard()
        with pytest.raises(OutputError, match="No space left on device"):
            print("first", flush=True)
        print("second", flush=True)
        print("third", file=sys.stderr)


@pytest.mark.parametrize("command", [("lookup",), ("lookup", "--cached-only"), ("lookup", "--explain")])
def test_a_lookup_of_what_is_no_utf_8_has_a_result(place: Installation, command: tuple[str, ...]) -> None:
    done = bangeod(*command, "--json", os.fsdecode(b"8.8.8.8\xe4"), "--config", str(place.config))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert [(each["ip"], each["status"]) for each in json.loads(done.stdout)] == [("8.8.8.8?", "invalid")]


def test_a_check_of_a_config_whose_path_is_no_utf_8_has_a_result(place: Installation) -> None:
    config = place.home / os.fsdecode(b"\xe4.toml")
    config.write_bytes(place.config.read_bytes())
    done = bangeod("check", "--json", "--config", str(config))
    assert f"{place.home}/?.toml" in {finding["where"] for finding in json.loads(done.stdout)}, done.stderr
