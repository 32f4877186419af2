"""A second process that reads in one transaction until its standard input ends; it prints its process id first.

python -m tests.support.web_app.reading DATABASE
"""

import os
import sqlite3
import sys
from contextlib import closing


def main(database: str) -> None:
    """Begin to read, and end when nobody wants it any more."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sessions").fetchall()
        print(os.getpid(), flush=True)
        sys.stdin.read()
        connection.execute("ROLLBACK")


if __name__ == "__main__":
    main(sys.argv[1])
