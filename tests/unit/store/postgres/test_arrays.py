"""Lists as the text of an array, held against what the server makes of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bangeod.store.postgres.arrays import array
from tests.support.examples import at_most
from tests.support.servers import postgres

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        (["8.8.8.8", None], '{"8.8.8.8",NULL}'),
        (["NULL", "", " "], '{"NULL",""," "}'),
        (['a "b"', "c\\d", "{e,f}"], '{"a \\"b\\"","c\\\\d","{e,f}"}'),
    ],
)
def test_each_value_is_quoted(values: list[str | None], text: str) -> None:
    assert array(values) == text


def test_the_server_reads_what_was_written() -> None:
    with postgres.shared_or_skip().connect() as connection:

        @settings(max_examples=at_most(100), deadline=None)
        @given(values=st.lists(st.none() | texts | st.text('"\\{}, NUL', max_size=6), max_size=6))
        def read(values: list[str | None]) -> None:
            assert connection.execute("SELECT CAST(%s AS text[])", (array(values),)).fetchone() == (values,)

        read()
