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

_MOST_GUESSES: Final = 200  # a file with more unknown keys than that is no configuration of ours
_MOST_ROUNDS: Final = 3  # what cannot be read, what is faulty, and nothing; more would be a mistake in here

_LITERAL: Final = "a variable gives a string, and this key takes none: write it literally"
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
    around_faults: frozenset[Path] = field(init=False)

    def __post_init__(self) -> None:
        around = (path[:length] for path in self.faulty for length in range(len(path) + 1))
        object.__setattr__(self, "around_faults", frozenset(around))

    def original(self, path: Path) -> Path:
        """Return a path in the draft as a path in the file."""
        return _original(path, self.kept)

    def rests_on_fault(self, finding: Finding) -> bool:
        """Tell whether a finding believes a value that is faulty itself."""
        return any(self._overlaps_fault(self.original(path)) for path in (finding.path, *finding.needs))

    def _overlaps_fault(self, path: Path) -> bool:
        """Tell whether a faulty value is at a path, in it or around it."""
        return path in self.around_faults or any(path[:length] in self.faulty for length in range(len(path)))


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
                if detail["type"] == "extra_forbidden":
                    findings.append(_unknown_key(original, may_guess=len(findings) < _MOST_GUESSES))
                    faulty.add((*original[:-1], resembled_key(original)))
                else:
                    findings.append(
                        _faulty_value(
                            detail, original, _value_at(written, original), _value_at(values, place)
                        )
                    )
                places.append(place)
                faulty.add(original)
            _take_out(values, frozenset(places), kept)
        else:
            return Draft(document, frozenset(faulty), kept), findings
    return Draft(Document(), frozenset({()}), kept), findings


def _unknown_key(path: Path, *, may_guess: bool) -> Finding:
    hint = meant_key(path) if may_guess else ""
    return Finding(path, "an unknown key", known_keys(path[:-1]), hint)


def _faulty_value(detail: ErrorDetails, path: Path, written: Any, value: Any) -> Finding:
    """Translate one of pydantic's errors."""
    if detail["loc"][-1] == "[key]":
        value = path[-1]
    elif is_secret(path):
        value = written = None
    found = "a secret" if value is None else show(value)
    if mentions_variable(written):
        found = f"{found} from {show(written)}"
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, UnacceptableError):
        # A guess to leave out the quotes would leave out the variable too.
        is_literal = mentions_variable(written) and error.hint.endswith("without quotes?")
        return Finding(path, found, error.expected, _LITERAL if is_literal else error.hint)
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
    gone: dict[Path, set[str | int]] = {}
    for path in paths:
        gone.setdefault(path[:-1], set()).add(path[-1])
    for place in sorted(
        gone, key=len, reverse=True
    ):  # from the inside out: the paths of the others stay valid
        container = _value_at(values, place)
        if isinstance(container, list):
            list_path = _original(place, kept)
            indices = kept.get(list_path, range(len(container)))
            kept[list_path] = tuple(
                index for number, index in enumerate(indices) if number not in gone[place]
            )
            container[:] = [item for number, item in enumerate(container) if number not in gone[place]]
        else:
            for key in gone[place]:
                del container[key]


def _original(path: Path, kept: dict[Path, tuple[int, ...]]) -> Path:
    result: Path = ()
    for part in path:
        indices = kept.get(result)
        result = (*result, indices[part] if indices is not None and isinstance(part, int) else part)
    return result
