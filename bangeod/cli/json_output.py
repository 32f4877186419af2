"""Results as JSON, for programs."""

import json

import msgspec


def as_json(result: object) -> str:
    """Return a result as JSON on one line.

    Arguments and paths of the command line may be no UTF-8. Python has lone surrogates for such bytes, which no
    encoding knows: they come out as question marks, as they do from the client.
    """
    try:
        return msgspec.json.encode(result).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(result), ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace").decode()
