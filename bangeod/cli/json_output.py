"""Results of commands as JSON."""

import msgspec


def as_json(result: object) -> str:
    """Return a result as JSON on one line.

    Arguments and paths of the command line may not be UTF-8. Python decodes such bytes as lone surrogates, which can't
    be encoded: they become question marks, as they do in the client.
    """
    try:
        return msgspec.json.encode(result).decode()
    except UnicodeEncodeError:
        import json  # noqa: PLC0415 - hardly ever needed

        text = json.dumps(msgspec.to_builtins(result), ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace").decode()
