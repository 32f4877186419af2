"""Unpacking a download: a bounded number of bytes, and only those of the one file that is wanted."""

import gzip
import re
import tarfile
import zlib
from typing import IO, Final, Protocol

from bangeod.geo.update.answers import UpdateError
from bangeod.geo.update.download import Target
from bangeod.geo.update.releases import Database, Packing

MAX_BYTES: Final = 256 << 20  # unpacked; the databases have some 10 MiB

_CHUNK: Final = 1 << 18
_MAGIC: Final = b"\x1f\x8b"  # RFC 1952


class Packed(Protocol):
    """The downloaded bytes, from their beginning."""

    def reader(self) -> IO[bytes]:
        """Open the bytes for reading."""


def unpack(source: Database, packed: Packed, target: Target) -> None:
    """Write the database that is in ``packed`` to ``target``. Blocks. Raises UpdateError, and OSError of the disk."""
    with packed.reader() as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise UpdateError(
                source.name,
                "what came is no packed database: something else has answered in the server's place, "
                "as the login page of a network or a proxy does; see to that and try again",
            )
        file.seek(0)
        try:
            with _BoundedGzip(source, file) as stream:
                if source.packing is Packing.TAR:
                    _unpack_member(source, stream, target)
                else:
                    _copy(stream, target)
        except (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError):
            # ValueError and OverflowError: tarfile raises them for absurd numbers.
            raise UpdateError(source.name, "what came is damaged or not all of it: try again later") from None


class _BoundedGzip(gzip.GzipFile):
    """A gzip stream with a limit on what it unpacks to: a few packed bytes may unpack to no end."""

    def __init__(self, source: Database, file: IO[bytes]) -> None:
        super().__init__(fileobj=file)
        self._source = source
        self._left = MAX_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes. Raises UpdateError above the limit."""
        most = self._left + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        self._left -= len(data)
        if self._left < 0:
            problem = f"what came unpacks to more than {MAX_BYTES >> 20} MiB: that is no database of this kind"
            raise UpdateError(self._source.name, f"{problem}; try again later")
        return data


def _unpack_member(source: Database, stream: _BoundedGzip, target: Target) -> None:
    """Find the database in an archive, at the top or in one directory. Nothing else depends on the archive's names."""
    wanted = re.compile(rf"(\./)?([\w-][\w.-]*/)?{re.escape(source.file_name)}")
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isreg() and wanted.fullmatch(member.name):
                content = archive.extractfile(member)
                if content is not None:
                    _copy(content, target)
                    _drain(stream)
                    return
    raise UpdateError(source.name, f"there is no {source.file_name} in the archive that came: try again later")


def _copy(content: IO[bytes] | gzip.GzipFile, target: Target) -> None:
    while chunk := content.read(_CHUNK):
        target.write(chunk)


def _drain(stream: _BoundedGzip) -> None:
    """Read to the end of the stream, where its checksum is."""
    while stream.read(_CHUNK):
        pass
