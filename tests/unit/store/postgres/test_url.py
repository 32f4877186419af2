"""The url of a PostgreSQL database: what it means, what is wrong with one, and that its password is never shown."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bangeod.store.postgres import driver, url
from bangeod.store.postgres.url import Url, parse

SECRET = "s3kr3t"


def keywords(text: str) -> dict[str, str]:
    """Take the keywords apart again, of values without spaces and quotes."""
    return {name: value.strip("'") for name, _, value in (word.partition("=") for word in parse(text).keywords.split())}


def refusal(text: str) -> str:
    told = told_of(text)
    assert isinstance(told, str)
    return told


def told_of(text: str) -> Url | str:
    """Return what a text is read as, or what is said of it."""
    try:
        return parse(text)
    except ValueError as error:
        return str(error)


# What it means


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (
            "postgresql://web@/bangui?host=/run/postgresql",
            {"user": "web", "dbname": "bangui", "host": "/run/postgresql"},
        ),
        ("postgresql://%2Frun%2Fpg/bangui", {"dbname": "bangui", "host": "/run/pg"}),
        (
            "postgres://db.example:5433/bangui?sslmode=require",
            {"host": "db.example", "port": "5433", "sslmode": "require"},
        ),
        ("postgresql://[2001:db8::1]:5433/bangui", {"host": "2001:db8::1", "port": "5433"}),
        ("postgresql://a:1,b/bangui", {"host": "a,b", "port": "1,"}),
        ("postgresql://us%40er@a/ban%2Fgui", {"user": "us@er", "dbname": "ban/gui"}),
        ("postgresql://a?dbname=bangui&port=7", {"host": "a", "dbname": "bangui", "port": "7"}),
        ("postgresql://u:pa?ss@a/bangui", {"user": "u", "host": "a", "dbname": "bangui"}),
    ],
)
def test_the_parts_of_a_url_are_libpqs_keywords(text: str, meant: dict[str, str]) -> None:
    assert keywords(text).items() >= meant.items()


def test_a_url_without_a_host_means_the_socket_where_distributions_have_it() -> None:
    read = parse("postgresql:///bangui")
    assert keywords("postgresql:///bangui") == {"host": "/run/postgresql", "dbname": "bangui"}
    assert (read.is_tcp, read.is_verified, read.sslmode, read.sockets) == (False, True, None, ["/run/postgresql"])


def test_over_tcp_the_server_has_to_prove_who_it_is_unless_the_url_says_otherwise() -> None:
    assert parse("postgresql://a/b").sslmode == "verify-full"
    assert parse("postgresql://a/b").is_verified
    for mode in ("disable", "prefer", "require", "verify-ca"):
        assert parse(f"postgresql://a/b?sslmode={mode}").sslmode == mode
        assert not parse(f"postgresql://a/b?sslmode={mode}").is_verified
    assert parse("postgresql:///b?hostaddr=192.0.2.1").is_tcp
    assert parse("postgresql://%2Frun%2Fpg,db.example/b").is_tcp


def test_of_several_servers_the_one_that_takes_writes_is_wanted_unless_the_url_says_otherwise() -> None:
    assert keywords("postgresql://a,b/c")["target_session_attrs"] == "read-write"
    assert keywords("postgresql://a,b/c?target_session_attrs=any")["target_session_attrs"] == "any"
    assert "target_session_attrs" not in keywords("postgresql://a/c")


def test_a_value_with_quotes_and_backslashes_comes_through_to_libpq() -> None:
    assert parse("postgresql:///a%27b%5Cc%20d").keywords == r"host='/run/postgresql' dbname='a\'b\\c d'"


# What is wrong


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty text"),
        ("/var/lib/bangui.db", "no postgresql:// at its beginning"),
        ("host=a dbname=b", "a space or a control character, the 7th character"),
        ("postgresql://a/b\n", "a space or a control character, the 17th character"),
        ("mysql://a/b", "no postgresql:// at its beginning"),
        ("postgresql+psycopg://a/b", "a driver's name in its scheme"),
        ("postgresql:/a/b", "no postgresql:// at its beginning"),
        ("postgresql://a:99999/b", "a port of the host that is no number from 1 to 65535"),
        ("postgresql://a,b:x/c", "a port of the 2nd host that is no number"),
        ("postgresql://u:p/w@a/b", "a port of the host that is no number"),
        ("postgresql://u:p@w@a/b", "an @ in the host"),
        ("postgresql://[::1/b", "brackets in the host"),
        ("postgresql://[]/b", "brackets in the host"),
        ("postgresql://a%2Cb/c", "a comma in the host"),
        ("postgresql://a", "no database's name after the host"),
        ("postgresql://a/", "no database's name after the host"),
        ("postgresql://u:50%@a/b", "a % in the password without two hexadecimal digits"),
        ("postgresql://a/%00", "a NUL in the database"),
        ("postgresql://a/%ff", "bytes in the database that are no UTF-8"),
        ("postgresql://u%3Ap@a/b", "a colon in the user"),
        (
            "postgresql://a/b?sslmod=require",
            "the 1st parameter, sslmod, which is none of those that bangeod takes; did",
        ),
        ("postgresql://a/b?port=1&x", "no = in the 2nd parameter"),
        ("postgresql://a/b?port=1=2", "a second = in the 1st parameter"),
        ("postgresql://a/b?sslmode=full", "a value of sslmode that is none of disable, allow"),
        ("postgresql://a/b?connect_timeout=soon", "a value of connect_timeout that is no whole number"),
        ("postgresql://a/b?port=0", "a port that is no number from 1 to 65535"),
        ("postgresql:///b?host=a,b,c&port=1,2", "2 ports for 3 hosts"),
        ("postgresql://a/" + "b" * 5000, "more than 4096 characters"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, found: str) -> None:
    assert refusal(text).startswith(found)


@pytest.mark.parametrize("name", ["sslpassword", "service", "client_encoding", "Password", "PASSWORD", "ssl"])
def test_a_parameter_that_is_a_secret_or_leads_elsewhere_is_refused_without_its_value(name: str) -> None:
    told = refusal(f"postgresql://a/b?{name}={SECRET}")
    assert "none of those that bangeod takes" in told
    assert SECRET not in told


def test_an_unknown_parameter_that_resembles_none_is_not_named() -> None:
    assert SECRET not in refusal(f"postgresql://a/b?{SECRET}=1")


# The password


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://web:{SECRET}@a/b",
        f"postgresql://:{SECRET}@a/b",
        f"postgresql://a/b?password={SECRET}",
        f"postgresql://a/b?sslmode=require&%70assword={SECRET}&port=5433",
        f"postgresql://web:other@a/b?password={SECRET}",
    ],
)
def test_the_password_is_in_no_text_but_the_one_for_a_config(text: str) -> None:
    read = parse(text)
    assert read.password == SECRET
    assert SECRET not in f"{read} {read!r} {read.shown()} {read.keywords} {[read]}"
    assert "other" not in f"{read} {read!r} {read.keywords}"
    assert parse(read.text()) == read
    assert parse(read.text()).keywords == read.keywords


def test_what_is_shown_can_be_read_again_and_means_the_same_without_a_password() -> None:
    read = parse(f"postgres://web:{SECRET}@a:1,b/c?password=x&sslmode=require&")
    assert read.shown() == "postgresql://web@a:1,b/c?sslmode=require"
    assert parse(read.shown()) == read.with_password(None)
    assert read.with_password(None) != read
    assert read.with_password("x").password == "x"


@pytest.mark.parametrize(
    "text",
    ["postgresql://web:{}@a/b", "postgresql://web:{}@a:1,b:2/c?sslmode=require", "postgresql://web@a/b?password={}"],
)
@given(password=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_password_that_is_percent_encoded_is_read_as_it_is(text: str, password: str) -> None:
    read = parse(text.format(quote(password, safe="")))
    assert read.password == password
    assert parse(read.text()).password == password


# Pieces of which urls are made, and what may stand in the wrong place.
PIECES = st.sampled_from(
    [
        *(
            "postgresql://",
            "postgres://",
            "web",
            ":",
            "@",
            "/",
            "?",
            "&",
            "=",
            "a.example",
            "5432",
            ",",
            "[::1]",
            "%2F",
        ),
        *("%", "%40", "é", " ", "#", "password=", "bangui", "verify-full", "ssl", *sorted(url.PARAMETERS)),
    ]
)


@given(before=st.lists(PIECES, max_size=6), after=st.lists(PIECES, max_size=8), colon=st.booleans())
@example(before=["postgresql://", "web", ":"], after=["/", "@", "a.example", "/", "bangui"], colon=False)
@example(before=["postgresql://"], after=["@", "a.example", "/", "bangui"], colon=True)
def test_no_error_shows_what_may_be_a_password(before: list[str], after: list[str], colon: bool) -> None:
    """Wherever it stands but in a place where it is no secret: the user's, a host's, the database's name."""
    text = "".join(before) + (":" if colon else "") + SECRET + "".join(after)
    told = told_of(text)
    if isinstance(told, str):
        assert SECRET not in told
        assert len(told.splitlines()) == 1
    else:
        if told.password and SECRET in told.password:
            assert SECRET not in f"{told} {told!r} {told.keywords}"
        assert parse(told.text()) == told


@pytest.mark.skipif(not driver.available(), reason="psycopg is not installed")
@given(pieces=st.lists(PIECES, max_size=9))
@example(pieces=["web", ":", "%2F", "@", "a.example", ",", "[::1]", ":", "5432", "/", "bangui", "?", "port", "="])
@example(pieces=[",", "postgresql://"])
@example(pieces=["/", "bangui", "?", "host", "=", "%2F", "&", "sslmode", "=", "verify-full"])
def test_libpq_reads_the_same_in_a_url_and_is_handed_it_whole(pieces: list[str]) -> None:
    text = "postgresql://" + "".join(pieces)
    read = told_of(text)
    if isinstance(read, str):
        return
    by_libpq = driver.keywords(text)
    assert by_libpq.pop("password", None) == read.password
    handed = driver.keywords(read.keywords)
    for each in (by_libpq, handed):
        if not str(each.get("port", 0)).strip(","):  # several hosts, none with a port: as if there were no such word
            del each["port"]
    assert handed.items() >= by_libpq.items()
    assert handed.keys() - by_libpq.keys() <= {"host", "sslmode", "target_session_attrs"}


@given(st.text())
@example("postgresql://")
@example("postgresql://?")
@example("postgresql://@/a?&")
def test_any_text_is_read_or_refused(text: str) -> None:
    for tried in (text, f"postgresql://{text}", f"postgresql://a/b?{text}"):
        told = told_of(tried)
        assert told if isinstance(told, str) else parse(told.shown()).keywords == told.keywords
