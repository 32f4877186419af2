"""bangeod.toml.example is the truth about keys and defaults."""

import re
import tomllib
from pathlib import Path

from bangeod.config import Settings, leaves, load, to_toml

EXAMPLE = Path(__file__).parents[2] / "bangeod.toml.example"


def keys_of(text: str) -> set[str]:
    def walk(table: dict[str, object], prefix: str) -> set[str]:
        found: set[str] = set()
        for name, value in table.items():
            found |= walk(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
        return found

    return walk(tomllib.loads(text), "")


def test_the_example_loads_as_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Settings()


def test_the_example_names_every_key() -> None:
    assert keys_of(EXAMPLE.read_text()) == {key for key, _ in leaves(Settings())}


def test_the_example_writes_values_as_config_show_does() -> None:
    """So that a diff of the two shows what an admin has changed, and no more."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == [line for line in to_toml(Settings()).splitlines() if line]


def test_the_example_fits_into_an_editor_and_explains_every_table() -> None:
    text = EXAMPLE.read_text()
    assert max(map(len, text.splitlines())) <= 90
    for table in re.findall(r"^\[.*\]$", text, re.MULTILINE):
        assert re.search(rf"(^#.*\n{re.escape(table)}$)|(^{re.escape(table)}\n#)", text, re.MULTILINE), table
