"""What ``bangeod migrate`` says in the end, or where it was stopped, for a person."""

from collections.abc import Iterator

from bangeod.cli.tables import printable
from bangeod.store.migration.migration import Progress
from bangeod.store.migration.report import Passed, Report, TableReport


def lines(report: Report) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"{report.file} → {report.server}"
    for table in report.tables:
        yield ""
        yield from _of_table(table, dry_run=report.dry_run)
    yield ""
    yield _verdict(report)


def so_far(progress: Progress, *, dry_run: bool) -> str:
    """Say how far a run came that was stopped; empty where it had not begun."""
    if not progress.table or dry_run:
        return ""
    return (
        f"{progress.step} {progress.table} came as far as {progress.done:,} of {progress.total:,} rows. "
        "Run the same command again: it goes on, and what is copied stays.\n"
    )


def _of_table(table: TableReport, *, dry_run: bool) -> Iterator[str]:
    yield f"{table.table}: {_rows(table.rows)} in the file"
    would = "would be " if dry_run else ""
    for number, what in (
        (table.copied, f"{would}copied"),
        (table.changed, f"{would}brought up to date"),
        (table.same, "there already" if dry_run else "there already, the same"),
        (table.meanwhile, "changed meanwhile, and taken up"),
        (table.ahead, "newer on the server, or with more there: left as they are"),
        (table.expired, "expired: not copied"),
        (table.ended, "copied once, and ended on the server since: not copied again"),
        (table.cut, "with a name that is cut to the column's length"),
        (table.missing, "MISSING on the server"),
    ):
        if number:
            yield f"  {number:>11,}  {what}"
    yield from _passed(table.differing, "DIFFERENT,")
    yield from _passed(table.unfit, "not copied:")
    yield from _passed(table.refused, "REFUSED by the server:")
    for note in table.notes:
        yield f"  note: {printable(note)}"
    if not dry_run:
        yield f"  {table.compared:>11,}  compared, checksum {table.checksum} {_on_server(table)}"
        if table.rows_on_server is not None:
            yield f"  {table.rows_on_server:>11,}  rows on the server in all"


def _on_server(table: TableReport) -> str:
    return f"in the file, {table.checksum_on_server} ON THE SERVER" if table.is_other else "on both sides"


def _passed(passed: Passed, what: str) -> Iterator[str]:
    for reason, rows in passed.rows.most_common():
        examples = ", ".join(printable(example) for example in passed.examples.get(reason, ()))
        yield f"  {rows:>11,}  {what} {printable(reason)}{f' ({examples})' if examples else ''}"


def _verdict(report: Report) -> str:
    if report.dry_run:
        return "Nothing was changed."
    took = f"in {report.seconds:.1f} s"
    if report.verified:
        return f"Done and verified, {took}: everything that the server can hold is there."
    return f"NOT all of it is there, {took}: mend what is named above, and run the same command again."


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
