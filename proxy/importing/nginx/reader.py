"""nginx's configuration as a draft of proxy.toml."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from proxy.importing.draft import Draft, Table
from proxy.importing.errors import ImportRefusedError
from proxy.importing.lineages import lineage_of
from proxy.importing.nginx import global_keys
from proxy.importing.nginx.locations import Blocks
from proxy.importing.nginx.servers import (
    Server,
    certificate_files,
    redirects_to_https,
    server_of,
    tls_versions,
)
from proxy.importing.nginx.settings import Surroundings, Zone
from proxy.importing.nginx.sites import site_of
from proxy.importing.nginx.tree import Directive, read_tree
from proxy.importing.nginx.values import UnclearError, rate

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_CLIENT_KEYS: Final = ("$binary_remote_addr", "$remote_addr")


def read_nginx(paths: Iterable[Path], draft: Draft, *, needs_tls: bool = False) -> None:
    """Add what nginx's files, or folders with such files, say; raises ImportRefusedError.

    With `needs_tls` https is served even if these files do not.
    """
    files = [file for path in paths for file in _files(path)]
    tree = [directive for file in files for directive in read_tree(file, draft.notes)]
    if files:
        _Reader(tree, files[0].parent.absolute(), draft).read(needs_tls=needs_tls)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    whole = path / "nginx.conf"
    found = [whole] if whole.is_file() else sorted(path.glob("*.conf"))
    if not found:
        raise ImportRefusedError(f"{path}: neither nginx.conf nor other .conf files are in this folder")
    return found


class _Reader:
    """Reads main files with all that they include, as if they were one; `base` is the folder of the first."""

    def __init__(self, tree: Sequence[Directive], base: Path, draft: Draft) -> None:
        self._base = base
        self._draft = draft
        https = [inner for directive in tree if directive.name == "http" for inner in directive.block]
        main = [directive for directive in tree if directive.name not in ("http", "server", "upstream")]
        here = [directive for directive in tree if directive.name in ("server", "upstream")]
        self._outer = (main, [*https, *here])
        self._inner = [*https, *tree]
        self._blocks: Blocks = {d.first: d for d in self._inner if d.name == "upstream"}
        self._servers = [server_of(d, draft.notes) for d in self._outer[1] if d.name == "server"]
        self._zones = dict(self._read_zones())

    def read(self, *, needs_tls: bool) -> None:
        draft = self._draft
        if not self._servers:
            raise ImportRefusedError(f"{self._base}: there is no server block in it")
        deep = [*self._inner, *(d for server in self._servers for d in server.directive.block)]
        public = [server for server in self._servers if not self._is_internal(server)]
        global_keys.listeners(public or self._servers, draft, needs_tls=needs_tls)
        global_keys.client_addresses(deep, self._servers, draft)
        global_keys.before_a_site(deep, draft)
        claimed: dict[str, bool] = {name: False for site in draft.sites for name in site["domains"]}
        for server in sorted(self._servers, key=lambda server: not server.has_tls):
            self._add(server, claimed)
        self._general_notes(deep)

    def _is_internal(self, server: Server) -> bool:
        """Tell whether a server is one of lua-resty-auto-ssl's own."""
        return any(where.port == 8999 for where in server.listens)

    def _read_zones(self) -> Iterable[tuple[str, Zone]]:
        for directive in self._inner:
            if directive.name != "limit_req_zone":
                continue
            key, *options = directive.arguments or ("",)
            named = dict(option.partition("=")[::2] for option in options)
            if key not in _CLIENT_KEYS:
                reason = "Foregate counts by client address, see docs/rate-limiting.md"
                self._draft.notes.left_out(directive.place, directive.text, reason)
                continue
            try:
                found = Zone(key, rate(f"rate={named.get('rate', '')}"))
            except UnclearError as exc:
                self._draft.notes.left_out(directive.place, directive.text, str(exc))
                continue
            yield named.get("zone", "").partition(":")[0], found

    def _add(self, server: Server, claimed: dict[str, bool]) -> None:
        notes, place = self._draft.notes, server.directive.place
        if self._is_internal(server):
            notes.needless("", "the hook server on port 8999", "Foregate orders certificates by itself")
            return
        target = None if server.has_tls else redirects_to_https(server)
        if target == "":
            self._note_redirect(server, claimed)
            return
        new = [name for name in server.names if name not in claimed]
        if server.names and not new:
            if not server.has_tls and any(claimed[name] for name in server.names):
                notes.changed(
                    place,
                    f"http for {server.names[0]}",
                    "Foregate redirects it to https (server.redirect_https)",
                )
            else:
                notes.left_out(
                    place, f"server {' '.join(server.names)}", "another server has these names already"
                )
            return
        around = Surroundings(notes, self._zones)
        site = site_of(server, self._outer, self._blocks, around)
        if site is None:
            return
        self._keep_within_the_machine(server, site)
        tls, proven = self._tls(server)
        domains = new or (["*"] if server.is_default and "*" not in claimed else [])
        if domains == ["*"] and tls.get("mode") is None and server.has_tls:
            domains, tls = (list(proven), tls) if proven else (domains, {"mode": "self-signed"})
        if not domains:
            notes.left_out(place, "server", "it has no name that Foregate could serve")
            return
        claimed |= dict.fromkeys(domains, server.has_tls)
        self._draft.sites.append({"domains": domains, **site, **({"tls": tls} if tls else {})})

    def _keep_within_the_machine(self, server: Server, site: Table) -> None:
        """Admit the machine itself alone to what nginx served on its loopback addresses alone."""
        if server.is_local and not all(other.is_local for other in self._servers):
            site.setdefault("firewall", {"allow": list(_LOOPBACK), "deny": []})
            subject, reason = (
                f"server {' '.join(server.names)}",
                "it was to be reached from the machine itself alone",
            )
            self._draft.notes.changed(server.directive.place, subject, f"{reason}; a firewall sees to that")

    def _note_redirect(self, server: Server, claimed: dict[str, bool]) -> None:
        self._draft.notes.needless("", "the redirect to https", "Foregate redirects by itself")
        missing = [name for name in server.names if name not in claimed]
        if missing:
            place, subject = server.directive.place, f"server {' '.join(missing)}"
            self._draft.notes.left_out(place, subject, "it redirects to https, where no server has this name")

    def _tls(self, server: Server) -> tuple[Table, tuple[str, ...]]:
        """Return the keys of [tls] for a server, and the names in a certificate that was taken over."""
        if not server.has_tls:
            return ({} if self._draft.table("server").get("https") == [] else {"mode": "off"}), ()
        keys = tls_versions(server, {d.name: d for d in self._outer[1] if d.name == "ssl_protocols"})
        holder = server if any(server.directive.all("ssl_certificate")) else self._with_outer_files(server)
        files = certificate_files(holder, self._base, self._draft.notes)
        if files is None:
            return keys, ()
        lineage = lineage_of(Path(files[0]), self._draft)
        if lineage is not None:
            return {**keys, **lineage.tls}, lineage.names
        return {**keys, "mode": "files", "certificate": files[0], "private_key": files[1]}, ()

    def _with_outer_files(self, server: Server) -> Server:
        inherited = tuple(d for d in self._outer[1] if d.name.startswith("ssl_certificate"))
        block = (*server.directive.block, *inherited)
        directive = Directive("server", (), server.directive.file, server.directive.line, block)
        return Server(directive, server.names, server.listens, server.is_default)

    def _general_notes(self, deep: Sequence[Directive]) -> None:
        names = {d.name for d in deep} | {i.name for d in deep for i in d.block}
        changed = self._draft.notes.changed
        reason = (
            'where nginx had no limit there is one of 150 requests a minute and client now (rate = "off")'
        )
        changed("", "rate_limit", reason)
        if "proxy_cache" not in names:
            changed(
                "",
                "cache",
                'nginx had no cache; Foregate keeps answers to GET for 3 s, per user (ttl = "0s")',
            )
        if "client_max_body_size" not in names:
            changed("", "limits.body", "nginx took 1 MB; Foregate takes 100 MB")
