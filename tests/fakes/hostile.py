"""The project's corpus of hostile messages: data files of families of cases, each with what must come of it.

Keys of a family; a case may be a table with `send` and keys of its own, which count before the family's:
`before`, `behind`: octets around each case (for requests `behind` is another request, unless said otherwise).
Requests: `statuses` the final responses in order; `times` so often; `app` the start lines of the whole requests that
the app gets; `unfinished` whether it may also get the beginning of one; `seen`, `unseen` octets that it must, must
not get; `content` that of its first request; `smuggled_content` whether a request in the content is to be expected
there. After a refusal the connection is closed; on any other a witness request must come through.
Responses: `to` the method asked with; `then` "end" to close behind it; `outcome` "502", "cut" (recognisably short) or
"whole" with `content`; `reused` whether the next request comes on the same connection; `unseen` octets that the
client must not get.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "wire" / "hostile"
SMUGGLED: Final = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
_REPEATED: Final = re.compile(r"<((?:[^<>*]|\\<)+)\*([0-9]+)>", re.DOTALL)


def expand(text: str) -> bytes:
    """Write out repetitions, inner ones first, and return the octets."""
    while (longer := _REPEATED.sub(lambda match: match[1] * int(match[2]), text)) != text:
        text = longer
    return text.encode("latin-1")


@dataclass(frozen=True, slots=True)
class Case:
    """Octets to send, and what must come of them (see above)."""

    family: str
    name: str
    octets: bytes
    expected: Mapping[str, Any]

    def texts(self, key: str) -> list[bytes]:
        """Return expected octets."""
        return [text.encode("latin-1") for text in self.expected.get(key, [])]


def _cases(path: Path, behind: str) -> Iterator[Case]:
    for family in tomllib.loads(path.read_text())["family"]:
        assert family["why"]
        common = {key: value for key, value in family.items() if key != "cases"}
        for name, given in family["cases"].items():
            keys = {"behind": behind, **common, **(given if isinstance(given, dict) else {"send": given})}
            octets = expand(keys.get("before", "") + keys["send"] + keys["behind"])
            yield Case(family["name"], name, octets, keys)


def _families(paths: Iterable[Path], behind: str) -> dict[str, list[Case]]:
    families: dict[str, list[Case]] = {}
    for path in paths:
        for case in _cases(path, behind):
            families.setdefault(case.family, []).append(case)
    return families


#: The cases by family.
REQUESTS: Final = _families(sorted(FOLDER.glob("requests-*.toml")), SMUGGLED)
RESPONSES: Final = _families([FOLDER / "responses.toml"], "")
