"""Rows of the file, fitted to a table on the server: page by page, and again where they may have changed."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from bangeod.store.migration.report import Passed
from bangeod.store.migration.source import Part, Source, SourceTable
from bangeod.store.migration.target import FittedRow, TargetTable
from bangeod.store.migration.values import UnfitValueError


@dataclass
class Page:
    """Fitted rows, how many rows they are of, and why others are no rows for the server."""

    part: Part
    rows: list[FittedRow]
    unfit: Passed


class Pages:
    """One table of the file, read for one table of the server's."""

    def __init__(self, source: Source, table: SourceTable, target: TargetTable) -> None:
        self._source = source
        self._table = table
        self._target = target
        self._names = [column.source for column in target.columns]

    async def count(self) -> int:
        return await self._source.count(self._table)

    async def highest(self) -> dict[str, int | None]:
        """Return the highest number of each column that a sequence numbers on the server."""
        return {
            column.name: await self._source.highest(self._table, column.source)
            for column in self._target.columns
            if self._target.is_numbered(column)
        }

    async def all(self) -> AsyncGenerator[Page, None]:
        """Yield all rows; raises StoreError."""
        after: object = None
        while True:
            part = await self._source.page(self._table, self._names, after)
            if part.rows:
                yield self._fitted(part)
            if part.is_last:
                return
            after = part.upto

    async def again(self, page: Page) -> Page:
        """Read the rows between the keys of a page once more."""
        part = await self._source.page(self._table, self._names, page.part.after, upto=page.part.upto)
        return self._fitted(part)

    def _fitted(self, part: Part) -> Page:
        page = Page(part, [], Passed())
        for values in part.rows:
            try:
                page.rows.append(self._target.fit(values))
            except UnfitValueError as unfit:
                page.unfit.add(str(unfit), self._named(values))
        return page

    def _named(self, values: Sequence[Any]) -> str:
        """Name a row by its key, which may be anything; a session by none, since a token is a secret."""
        if self._target.is_secret:
            return ""
        value = values[self._target.identity[0]]
        return ascii(value) if not isinstance(value, str) or not value.isprintable() else value
