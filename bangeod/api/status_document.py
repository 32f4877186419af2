"""The JSON document of the state, which ``/v1/status`` sends and ``bangeod status`` reads.

Times in it are text as in the database (``2026-11-22T00:00:00Z``), without the fraction of a second.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from bangeod.api.daemon_state import State, Timestamp
from bangeod.clock import to_text


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a time, the only type here that msgspec does not know."""
    if kind is not Timestamp:
        raise NotImplementedError
    return {"type": "string"}


def read(document: object) -> State:
    """Return the state from a decoded document. Raises msgspec.ValidationError."""
    return msgspec.convert(document, State, dec_hook=_from_text)


def _text(value: object) -> str:
    if not isinstance(value, Timestamp):
        raise NotImplementedError
    return to_text(value)


def _from_text(kind: type, value: object) -> Timestamp:
    if kind is not Timestamp:
        raise NotImplementedError
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec's own words for other types
    return Timestamp(datetime.fromisoformat(value).timestamp())


encode: Final = msgspec.json.Encoder(enc_hook=_text).encode
