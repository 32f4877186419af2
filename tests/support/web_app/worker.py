"""A worker of the web app, as a second process: it runs one statement after the other on the database.

    python -m tests.support.web_app.worker DATABASE

Statements come as JSON on its standard input, a line each; so do the rows on its standard output. It uses bangeod's
SQLite: an older one beside it could damage the log.
"""

import json
import sys
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from bangeod.store.sqlite.engine import engine
from tests.support.companion import Companion
from tests.support.feed import DEADLINE

Rows = list[list[Any]]


class WebWorker(Companion):
    """The process, with the database open from its first statement on, for as long as the ``with`` block lasts."""

    def __init__(self, database: Path) -> None:
        super().__init__("tests.support.web_app.worker", database)

    def execute(self, statement: str) -> Rows:
        """Run a statement, which is committed when this returns."""
        print(json.dumps(statement), file=self.input, flush=True)
        rows: Rows = json.loads(self.output.readline())
        return rows


def main(database: str) -> None:
    """Run what comes until the standard input ends."""
    first = sys.stdin.readline()  # the file that is at the path when it comes is the one to be opened
    with closing(engine.connect(database, timeout=DEADLINE, isolation_level=None)) as connection:
        for line in chain([first], sys.stdin):
            print(json.dumps(connection.execute(json.loads(line)).fetchall()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
