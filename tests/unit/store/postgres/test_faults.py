"""The errors of a server, and of the way to it, as the rest of bangeod meets them."""

from dataclasses import dataclass, field

import pytest

from bangeod.errors import (
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnreachableError,
)
from bangeod.store.postgres import faults
from bangeod.store.postgres.connection import Conninfo

CONNINFO = Conninfo("host=db.example", "postgresql://db.example/bangui", "s3cret")


@dataclass
class Diagnostic:
    message_primary: str | None = None
    source_function: str | None = None


@dataclass
class PsycopgError(Exception):
    """An error of psycopg's, as far as the faults look at it."""

    text: str = ""
    sqlstate: str | None = None
    diag: Diagnostic = field(default_factory=Diagnostic)

    def __str__(self) -> str:
        return self.text


def of_statement(state: str | None, text: str = "words", *, by: str = "", lost: bool = False) -> StoreError:
    error = PsycopgError(text, state, Diagnostic(text if state else None, by))
    return faults.of_statement(CONNINFO, error, lost=lost)  # type: ignore[arg-type]  # in the place of psycopg's


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("25006", StoreReadOnlyError),
        ("42501", StoreReadOnlyError),
        ("55P03", StoreLockedError),
        ("40P01", StoreLockedError),
        ("40001", StoreLockedError),
        ("57014", StoreLockedError),
        ("53100", StoreFullError),
        ("53300", StoreUnreachableError),
        ("57P01", StoreUnreachableError),
        ("57P02", StoreUnreachableError),
        ("57P03", StoreUnreachableError),
        ("57P04", StoreMissingError),
        ("08006", StoreUnreachableError),
        ("42P01", SchemaError),
        ("42703", SchemaError),
        ("3F000", SchemaError),
        ("XX001", StoreDamagedError),
        ("23503", StoreRefusedError),
        ("23514", StoreRefusedError),
        ("22001", StoreRefusedError),
        ("44000", StoreRefusedError),
        ("P0001", StoreRefusedError),
        ("XX000", StoreError),
    ],
)
def test_what_the_server_says_about_a_statement_has_a_kind_and_advice(state: str, kind: type[StoreError]) -> None:
    error = of_statement(state)
    assert type(error) is kind
    assert error.path == "postgresql://db.example/bangui"
    assert error.problem
    assert error.advice


def test_a_row_that_a_policy_refuses_is_about_a_row_and_not_about_the_table() -> None:
    assert type(of_statement("42501", by="ExecWithCheckOptions")) is StoreRefusedError


def test_a_connection_that_is_lost_without_a_word_is_told_so() -> None:
    assert type(of_statement(None, "server closed the connection unexpectedly", lost=True)) is StoreUnreachableError
    assert type(of_statement(None, "cannot dump lists of mixed types")) is StoreError


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        (
            'connection failed: connection to server at "::1", port 5 failed: Connection refused\n\tIs it?',
            StoreUnreachableError,
            'no server answers: connection to server at "::1", port 5 failed: Connection refused',
        ),
        ('FATAL:  password authentication failed for user "b"', StoreUnreachableError, "refuses the password"),
        ("fe_sendauth: no password supplied", StoreUnreachableError, "asks for a password, and there is none"),
        ('FATAL:  database "bangui" does not exist', StoreMissingError, "there is no such database"),
        ('FATAL:  role "bangeod" does not exist', StoreUnreachableError, "does not let bangeod in"),
        ("FATAL:  sorry, too many clients already", StoreUnreachableError, "too many connections"),
        ("FATAL:  remaining connection slots are reserved for superusers", StoreUnreachableError, "too many"),
        ("FATAL:  the database system is starting up", StoreUnreachableError, "takes no connections yet"),
        ("FATAL:  the database system is in recovery mode", StoreUnreachableError, "takes no connections yet"),
        ("failed to resolve host 'db.example': [Errno -2] Name or service not known", StoreUnreachableError, "name"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "b", database "d", no encryption',
            StoreUnreachableError,
            "nobody in without TLS",
        ),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "b", database "d", SSL encryption',
            StoreUnreachableError,
            "does not let bangeod in",
        ),
        ("server does not support SSL, but SSL was required", StoreUnreachableError, "TLS can't be used"),
        ('root certificate file "/root/.postgresql/root.crt" does not exist', StoreUnreachableError, "TLS"),
        ("session is read-only", StoreReadOnlyError, "none of the servers takes writes"),
        (
            "FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.",
            StoreReadOnlyError,
            "the server is a standby, and lets nobody in",
        ),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", StoreUnreachableError, "Passwort-Authentifizierung"),
        ("connection timeout expired", StoreUnreachableError, "no server answers"),
        ("connection is bad: no error details available", StoreUnreachableError, "can be begun"),
    ],
)
def test_what_is_said_while_connecting_has_a_kind_and_the_words(
    text: str, kind: type[StoreError], problem: str
) -> None:
    error = faults.of_connect(CONNINFO, PsycopgError(text))
    assert type(error) is kind
    assert problem in error.problem
    assert error.advice


def test_of_several_hosts_the_one_that_the_error_is_about_is_named() -> None:
    tried = (
        "connection is bad: socket a failed: No such file or directory\n\tIs the server running locally?\n"
        "Multiple connection attempts failed. All failures were:\n"
        "- host: 'b', port: None, hostaddr: None: connection failed: socket b failed: session is read-only\n"
        "- host: 'a', port: None, hostaddr: None: connection is bad: socket a failed: No such file or directory"
    )
    error = faults.of_connect(CONNINFO, PsycopgError(tried))
    assert error.problem == "none of the servers takes writes: socket b failed: session is read-only"


def test_no_text_has_the_password_in_it() -> None:
    error = faults.of_connect(CONNINFO, PsycopgError('missing "=" after "s3cret" in connection info string'))
    assert "s3cret" not in str(error)
    assert "***" in error.problem
