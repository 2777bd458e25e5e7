"""Remember parsed field sections: a browser sends the same one again and again, an app nearly so.

A hit costs one dictionary look-up (0.15 µs) where parsing costs 5 µs.  The key is the raw section itself, so
what is remembered can never be taken for anything else.  Bounded in octets; the oldest entries give way.
"""

from typing import Final, Generic, TypeVar

#: Sections above this size are not worth their place.
MAX_SECTION: Final = 4096
#: Octets of sections that are kept, in each memo; their parsed forms take about six times as much.
MAX_OCTETS: Final = 512 * 1024

_Fields = TypeVar("_Fields")


class FieldMemo(dict[bytes, _Fields], Generic[_Fields]):
    """A bounded map from raw field sections to their parsed form; read it with get()."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        super().__init__()
        self._octets = 0

    def put(self, section: bytes, fields: _Fields) -> None:
        """Remember ``fields`` for ``section``."""
        if len(section) > MAX_SECTION:
            return
        if section not in self:
            self._octets += len(section) + 64
        self[section] = fields
        while self._octets > MAX_OCTETS:
            oldest = next(iter(self))
            del self[oldest]
            self._octets -= len(oldest) + 64

    def forget(self) -> None:
        """Drop everything, for instance when the configuration that derived forms belong to has changed."""
        self.clear()
        self._octets = 0
