"""The text of `bangeod lookup --explain`: lines for each address, within 80 columns where possible."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from bangeod.api.messages import Explanation, MmdbRecord, Place, Said
from bangeod.cli import json_output
from bangeod.cli.tables import printable
from bangeod.model import Origin

_WIDTH: Final = 80  # columns of a terminal
_INDENT: Final = " " * 10  # the width of the sources' names, and two blanks
_FIELDS: Final = ("country_code", "country_name", "asn", "org")
_OTHER_LANGUAGES: Final = "names"  # in MaxMind's records: the names in all languages; "name" is the English one


Model = Mapping[str, Any]  # a typed record: ``name`` of geoip2's class, and ``fields``
ModelOf = Callable[[Explanation, Said], Model | None]


def as_json(explanations: Sequence[Explanation], model_of: ModelOf) -> str:
    """Return everything as JSON; records of MaxMind's files also in typed form."""
    built = msgspec.to_builtins(list(explanations))
    for explanation, document in zip(explanations, built, strict=True):
        for said, shown in zip(explanation.sources, document["sources"], strict=True):
            if said.file is not None:
                shown["file"]["model"] = model_of(explanation, said)
    return json_output.as_json(built)


def as_text(explanations: Sequence[Explanation], model_of: ModelOf) -> str:
    """Return a block of lines for each address, separated by empty lines."""
    return "\n\n".join("\n".join(_block(explanation, model_of)) for explanation in explanations)


def _block(explanation: Explanation, model_of: ModelOf) -> Iterator[str]:
    canonical = explanation.address
    also = f" ({canonical})" if canonical not in {None, explanation.ip} else ""
    yield printable(f"{explanation.ip}{also}: {explanation.status}")
    for said in explanation.sources:
        yield from _source(said, model_of(explanation, said))
    if explanation.sources:
        yield from _hanging("answer", _place(explanation.answer) or "nothing is known")
        yield from _decisions(explanation)


def _source(said: Said, model: Model | None) -> Iterator[str]:
    if said.file is None:
        yield from _hanging(str(said.source), "; ".join(filter(None, (_place(said.says), said.note))))
        return
    yield from _hanging(str(said.source), said.file.path)
    about = _about(said.file)
    if about:
        yield from _more(about)
    if said.note:
        yield from _more(said.note)
    if said.says is not None:
        yield from _more(f"taken: {_place(said.says)}")
    if model is not None:
        yield from _more(str(model["name"]))
        yield from _record(model["fields"])
    elif said.file.record is not None:
        yield from _more("its record")
        yield from _record(said.file.record)


def _about(file: MmdbRecord) -> str:
    built = f"built {file.build_time}" if file.build_time else None
    asked = f"asked for {file.asked}" if file.asked else None
    status = file.status if file.status != "loaded" else None
    return ", ".join(filter(None, (file.database_type, built, status, asked, file.network)))


def _place(place: Place | None) -> str:
    if place is None:
        return ""
    country = " ".join(filter(None, (place.country_code, place.country_name)))
    network = " ".join(filter(None, (place.asn, place.org)))
    return ", ".join(filter(None, (country, network)))


def _decisions(explanation: Explanation) -> Iterator[str]:
    deciders = dict.fromkeys(explanation.decided_by[name] for name in _FIELDS if name in explanation.decided_by)
    for decider in deciders:
        fields = [name for name in _FIELDS if explanation.decided_by.get(name) == decider]
        yield from _more(f"{', '.join(fields)}: by {_decider(decider)}")
    if explanation.origin in {Origin.MEMORY, Origin.DATABASE}:
        yield from _more("the sources after that are not asked by a lookup")


def _decider(decider: str) -> str:
    return "the name that the country has in the table" if decider == "country_names" else decider


def _record(record: object) -> Iterator[str]:
    for path, value in _leaves(record, ""):
        yield from _hanging("", f"  {path}  {value}" if path else f"  {value}", deeper=4)


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield the values in a record, each with its dotted path; of names in several languages only the English one."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == _OTHER_LANGUAGES and isinstance(item, dict):
                if "en" in item:
                    yield f"{path}.name".lstrip("."), item["en"]
            else:
                yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}.{number}".lstrip("."))
    else:
        yield path, _shown(value)


def _shown(value: object) -> object:
    return {None: "-", True: "true", False: "false"}.get(value, value) if isinstance(value, bool | None) else value


def _more(text: str) -> Iterator[str]:
    return _hanging("", text)


def _hanging(label: str, text: str, *, deeper: int = 2) -> Iterator[str]:
    """Wrap a text beside its label; a part without blanks, like a path, is not broken."""
    first = f"{label:{len(_INDENT)}}"
    yield from textwrap.wrap(
        printable(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=_INDENT + " " * deeper,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [first.rstrip()]
