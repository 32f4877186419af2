"""Which addresses have changed since a page of the table was read: what the page says of them is old.

Belongs to one event loop. While no page is read nothing is kept.
"""


class RecentChanges:
    """Canonical addresses whose entry was learned or written, or whose row was deleted, while pages are being read.

    A page may be read while the one before it is taken in: so what was noted before the last page began still counts.
    """

    def __init__(self) -> None:
        self._since: set[str] | None = None  # since the last page began to be read
        self._before: set[str] = set()  # since the page before that began

    def begin_page(self) -> None:
        """Note that a page will be read from now on."""
        self._before, self._since = self._since or set(), set()

    def end(self) -> None:
        """Note that no page is read any more."""
        self._before, self._since = set(), None

    def note(self, ip: str) -> None:
        """Note that an address has changed."""
        if self._since is not None:
            self._since.add(ip)

    def __bool__(self) -> bool:
        """Say whether any address has changed."""
        return bool(self._since or self._before)

    def __contains__(self, ip: str) -> bool:
        return ip in self._before or (self._since is not None and ip in self._since)
