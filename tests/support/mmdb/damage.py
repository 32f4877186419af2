"""Ways in which an MMDB comes to harm: on the way, on the disk, in memory. The same seed makes the same damage."""

from collections.abc import Callable
from random import Random

from mmdb_writer import METADATA_MAGIC

Damage = Callable[[bytearray, Random], None]


def damaged(good: bytes, chance: Random) -> bytes:
    """Return the file with one to three damages done to it; never the file as it was."""
    while True:
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            chance.choice(DAMAGES)(content, chance)
        if content != good:
            return bytes(content)


def _flip_a_bit(content: bytearray, chance: Random) -> None:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _flip_some_octets(content: bytearray, chance: Random) -> None:
    for _ in range(chance.choice((1, 4, 30, 300))):
        _flip_a_bit(content, chance)


def _damage_the_metadata(content: bytearray, chance: Random) -> None:
    start = max(0, bytes(content).rfind(METADATA_MAGIC))
    if start < len(content):
        content[chance.randrange(start, len(content))] = chance.randrange(256)


def _damage_the_records(content: bytearray, chance: Random) -> None:
    """Change some of the octets before the metadata, where the records are."""
    end = max(1, bytes(content).rfind(METADATA_MAGIC))
    for _ in range(chance.choice((1, 5, 50))):
        place = chance.randrange(end * 2 // 3, end)
        if place < len(content):
            content[place] = chance.randrange(256)


def _cut_off(content: bytearray, chance: Random) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _zero_a_range(content: bytearray, chance: Random) -> None:
    start, length = _range(content, chance)
    content[start : start + length] = bytes(length)


def _overwrite_a_range(content: bytearray, chance: Random) -> None:
    start, length = _range(content, chance)
    content[start : start + length] = chance.randbytes(length)


def _swap_two_blocks(content: bytearray, chance: Random) -> None:
    size = chance.choice((512, 4096))
    blocks = len(content) // size
    if blocks > 1:
        one, other = (chance.randrange(blocks) * size for _ in range(2))
        held = content[one : one + size]
        content[one : one + size] = content[other : other + size]
        content[other : other + size] = held


def _lose_some_octets(content: bytearray, chance: Random) -> None:
    start, length = _range(content, chance)
    del content[start : start + length]


def _range(content: bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(content) + 1)
    return start, min(chance.choice((1, 16, 512, 4096)), len(content) - start)


DAMAGES: tuple[Damage, ...] = (
    _flip_a_bit,  # often, since the file is often still good enough to be used then
    _flip_a_bit,
    _flip_a_bit,
    _flip_some_octets,
    _damage_the_metadata,
    _damage_the_records,
    _cut_off,
    _zero_a_range,
    _overwrite_a_range,
    _swap_two_blocks,
    _lose_some_octets,
)
