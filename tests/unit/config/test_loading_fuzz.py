"""No input of the config ends in anything but settings or findings."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from bangeod.config import Settings, leaves, load
from bangeod.errors import ConfigError, ConfigProblem


def outcome(file: Path) -> Settings | tuple[ConfigProblem, ...]:
    try:
        return load(file, {})
    except ConfigError as error:
        return error.findings


SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.times()
    | st.sampled_from(["10ms", "60s", "/x", "", "http://x", "0660", "info"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
KEYS = sorted({part for key, _ in leaves(Settings()) for part in key.split(".")})
NAMES = st.sampled_from(KEYS) | st.text(max_size=5)
Document = dict[str, Any]
DOCUMENTS = st.dictionaries(
    NAMES, VALUES | st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)
)


@given(document=DOCUMENTS)
def test_any_toml_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, document: Document) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    text = tomli_w.dumps(document)
    file.write_text(text, encoding="utf-8", newline="")
    result = outcome(file)
    if isinstance(result, tuple):
        assert result
        assert all(len(finding.problem.splitlines()) == 1 for finding in result)
    else:
        assert set(tomllib.loads(text)) <= {key.split(".")[0] for key, _ in leaves(Settings())}


@given(content=st.binary() | st.text().map(str.encode))
@example(content=b"\xef\xbb\xbf\xff")
@example(content=b"a.b = 1\na = 2")
@example(content=b"a = 1\r")
def test_any_bytes_are_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(content)
    assert outcome(file)
