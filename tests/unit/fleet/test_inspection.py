"""What is there of the fleet on a server: what its tables' columns are to be."""

import pytest

from bangeod.fleet import statements
from bangeod.fleet.inspection import columns


def test_the_columns_of_a_table_are_those_that_it_is_made_with() -> None:
    assert columns("geo") == [
        *("ip inet", "writer name", "country_code text", "country_name text", "asn text", "org text", "origin text"),
        *("resolved_at timestamptz", "last_seen timestamptz"),
    ]


@pytest.mark.parametrize("table", statements.TABLES)
def test_every_table_has_a_writer_by_whom_its_rows_are_secured(table: str) -> None:
    assert "writer name" in columns(table)
    assert all(len(column.split()) == 2 for column in columns(table))
