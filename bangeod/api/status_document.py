"""The state as JSON: the document that ``/v1/status`` answers and ``bangeod status`` reads; a time is text in it.

The text is that of the database (``2026-11-22T00:00:00Z``), without the fraction of a second.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from bangeod.api.daemon_state import State, Timestamp
from bangeod.clock import to_text


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a time, which is the one type here that msgspec does not know."""
    if kind is not Timestamp:
        raise NotImplementedError
    return {"type": "string"}


def read(document: object) -> State:
    """Return the state that a document, decoded, describes. Raises msgspec.ValidationError."""
    return msgspec.convert(document, State, dec_hook=_from_text)


def _text(value: object) -> str:
    if not isinstance(value, Timestamp):
        raise NotImplementedError
    return to_text(value)


def _from_text(kind: type, value: object) -> Timestamp:
    if kind is not Timestamp:
        raise NotImplementedError
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # as msgspec says it of others
    return Timestamp(datetime.fromisoformat(value).timestamp())


encode: Final = msgspec.json.Encoder(enc_hook=_text).encode
