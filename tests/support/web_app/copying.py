"""A second process that makes backups in steps, as `sqlite3 web.db ".backup copy.db"` does, until its input ends.

python -m tests.support.web_app.copying DATABASE COPY PAGES

It prints a line when it begins the first one, and at the end how many it has made, each in steps of so many pages.
"""

import select
import sqlite3
import sys
from contextlib import closing


def main(database: str, copy: str, pages: str) -> None:
    """Copy again and again, so that it is in the midst of it at nearly all times."""
    made = 0
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        print(flush=True)
        while not made or not select.select([sys.stdin], [], [], 0)[0]:
            source.backup(target, pages=int(pages))
            made += 1
    print(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
