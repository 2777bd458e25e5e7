"""What the checks look at: the tables as written, and the values that they came to."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.findings import Path, key_text
from proxy.config.schema import Config, Route, Site
from proxy.config.site_tables import Document, RouteTable, SiteTable
from proxy.config.validation import Draft


@dataclass(frozen=True, slots=True)
class Subject:
    """A configuration with its tables; sites stand in the same order in both."""

    draft: Draft
    config: Config

    @property
    def document(self) -> Document:
        """Return the tables, without faulty values."""
        return self.draft.document

    def key(self, path: Path) -> str:
        """Write a path of the tables as the key in the file."""
        return key_text(self.draft.original(path))

    def sites(self) -> Iterator[tuple[int, SiteTable, Site]]:
        """Go through the sites: index in the file, table, value."""
        for index, (table, site) in enumerate(zip(self.document.site or (), self.config.sites, strict=True)):
            yield index, table, site

    def routes(self) -> Iterator[tuple[Path, SiteTable | RouteTable, Route]]:
        """Go through the sites and their routes in the order of the file: path of the table, table, value.

        Of routes with the same path all but one are left out: that is a fault of its own.
        """
        for index, table, site in self.sites():
            yield ("site", index), table, site.routes[-1]
            by_path = {route.path: route for route in site.routes[:-1]}
            for number, route_table in enumerate(table.route or ()):
                if route := by_path.pop(route_table.path or "", None):
                    yield ("site", index, "route", number), route_table, route

    def origin(self, place: Path, section: str, key: str) -> Path:
        """Return where the value of a key in a section came from, seen from a site or a route.

        Where nobody wrote it, that is where it could be written: in the innermost table.
        """
        for path in self.candidates(place, section, key):
            table = self._table(path[:-2])
            written = getattr(table, section, None) if section in table.model_fields_set else None
            if written is not None and key in written.model_fields_set:
                return path
        return (*place, section, key)

    def value(self, path: Path) -> object:
        """Return what is written for a key of a section, or None."""
        section = getattr(self._table(path[:-2]), str(path[-2]))
        return getattr(section, str(path[-1])) if section is not None else None

    def candidates(self, place: Path, section: str, key: str) -> tuple[Path, ...]:
        """Return all places where a key can be written, the innermost first."""
        outer = [place[:length] for length in (4, 2, 0) if length <= len(place)]
        return tuple((*path, section, key) for path in outer)

    def _table(self, path: Path) -> Document | SiteTable | RouteTable:
        table: Document | SiteTable | RouteTable = self.document
        if len(path) >= 2 and isinstance(path[1], int):
            site = self.document.site[path[1]]
            table = site.route[path[3]] if len(path) == 4 and isinstance(path[3], int) else site
        return table
