"""From a TOML document to tables: every value that a key does not take is found in one pass.

Theory of operation.  Pydantic reports all faults of a document at once but then gives no tables, and the
checks that compare keys with each other need some.  So faulty values are taken out, and what remains is
validated once more; the checks then see a document without them, and say nothing that rests on a faulty
value.  Taking an element out of a list moves its successors: `Draft.original` translates their paths back.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.errors import UnacceptableError
from proxy.config.findings import Finding, Path, is_secret, show
from proxy.config.interpolation import mentions_variable
from proxy.config.site_tables import Document
from proxy.config.unknown_keys import known_keys, meant_key, resembled_key

_MOST_ROUNDS: Final = 3  # what cannot be read, what is faulty, and nothing; more would be a mistake in here

_EXPECTED: Final = {
    "model_type": "a table",
    "dict_type": 'a table such as { X-Device = "a" }',
    "list_type": "a list",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """The tables of a document without its faulty values. `kept` says which elements of a list remain."""

    document: Document
    faulty: frozenset[Path] = frozenset()
    kept: dict[Path, tuple[int, ...]] = field(default_factory=dict)

    def original(self, path: Path) -> Path:
        """Return a path in the draft as a path in the file."""
        return _original(path, self.kept)

    def rests_on_fault(self, finding: Finding) -> bool:
        """Tell whether a finding believes a value that is faulty itself."""
        believed = [self.original(path) for path in (finding.path, *finding.needs)]
        return any(_overlap(path, bad) for path in believed for bad in self.faulty)


def validate(
    written: dict[str, Any], values: dict[str, Any], unreadable: frozenset[Path]
) -> tuple[Draft, list[Finding]]:
    """Return the tables of a document, and what was wrong in it (with paths of the file).

    `written` is the document as it stands in the file; `values` is the same with variables put in, and is
    taken apart; `unreadable` are the paths where putting in failed.
    """
    findings: list[Finding] = []
    kept: dict[Path, tuple[int, ...]] = {}
    faulty = set(unreadable)
    _take_out(values, unreadable, kept)
    for _ in range(_MOST_ROUNDS):
        try:
            document = Document.model_validate(values)
        except ValidationError as error:
            places = []
            for detail in error.errors(include_url=False):
                place = _place_in(values, detail["loc"])
                original = _original(place, kept)
                findings.append(
                    _finding(detail, original, _value_at(written, original), _value_at(values, place))
                )
                places.append(place)
                faulty |= {original, (*original[:-1], resembled_key(original))}
            _take_out(values, frozenset(places), kept)
        else:
            return Draft(document, frozenset(faulty), kept), findings
    return Draft(Document(), frozenset({()}), kept), findings


def _finding(detail: ErrorDetails, path: Path, written: Any, value: Any) -> Finding:
    """Translate one of pydantic's errors."""
    if detail["type"] == "extra_forbidden":
        return Finding(path, "an unknown key", known_keys(path[:-1]), meant_key(path))
    if detail["loc"][-1] == "[key]":
        value = path[-1]
    elif is_secret(path):
        value = written = None
    found = "a secret" if value is None else show(value)
    if mentions_variable(written):
        found = f"{found} from {show(written)}"
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, UnacceptableError):
        return Finding(path, found, error.expected, error.hint)
    return Finding(path, found, *_wrong_shape(detail["type"], path, value))


def _wrong_shape(kind: str, path: Path, value: Any) -> tuple[str, str]:
    """Return what is expected in place of a table or a list, and a hint."""
    if kind == "list_type" and path[-1] in ("site", "route"):
        header = "site" if path[-1] == "site" else "site.route"
        return f"[[{header}]] tables", f"write [[{header}]], with two brackets" if isinstance(
            value, dict
        ) else ""
    is_short = isinstance(value, str) and len(value) < 40
    hint = f"did you mean [{show(value)}]?" if kind == "list_type" and is_short else ""
    return _EXPECTED.get(kind, "another value"), hint


def _place_in(values: Any, location: tuple[int | str, ...]) -> Path:
    """Return the deepest part of an error's location that is in the document.

    An upstream may be a URL or a table in the file, where the tables have a list of tables.
    """
    place: Path = ()
    for part in location:
        if (
            part in values
            if isinstance(values, dict)
            else isinstance(values, list) and part in range(len(values))
        ):
            values = values[part]
        elif isinstance(values, dict) and isinstance(part, int):
            continue
        else:
            break
        place = (*place, part)
    return place


def _value_at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def _take_out(values: Any, paths: frozenset[Path], kept: dict[Path, tuple[int, ...]]) -> None:
    """Remove what stands at some paths, and note which elements of lists remain."""
    for path in sorted(paths, reverse=True):  # the last element of a list first: the others keep their places
        container = _value_at(values, path[:-1])
        if isinstance(container, list):
            list_path = _original(path[:-1], kept)
            indices = kept.get(list_path, tuple(range(len(container))))
            kept[list_path] = tuple(index for place, index in enumerate(indices) if place != path[-1])
        del container[path[-1]]


def _original(path: Path, kept: dict[Path, tuple[int, ...]]) -> Path:
    result: Path = ()
    for part in path:
        indices = kept.get(result)
        result = (*result, indices[part] if indices is not None and isinstance(part, int) else part)
    return result


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
