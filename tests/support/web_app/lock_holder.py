"""A process that holds a database's write lock, until its input ends: run as a module, with the DATABASE."""

import sys
from contextlib import closing

from bangeod.store.sqlite.engine import engine


def main() -> None:
    """Take the lock, say so, and hold it."""
    with closing(engine.connect(sys.argv[1], isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.read()
        connection.execute("ROLLBACK")


if __name__ == "__main__":
    main()
