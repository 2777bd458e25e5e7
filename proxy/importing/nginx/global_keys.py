"""What counts for all sites together: listeners, trusted proxies, timeouts before a request has a site."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Final

from proxy.config.quantities import format_size, parse_duration, parse_size
from proxy.importing.draft import Draft
from proxy.importing.nginx.servers import Server
from proxy.importing.nginx.tree import Directive
from proxy.importing.nginx.values import UnclearError, duration, octets
from proxy.traffic.presets import CLOUDFLARE

_CLIENT_FIELDS: Final = ("x-forwarded-for", "cf-connecting-ip", "x-real-ip", "forwarded")


def listeners(servers: Sequence[Server], draft: Draft, *, needs_tls: bool = False) -> None:
    """Take over where nginx listens; with `needs_tls` https is served even if these servers do not."""
    plain = _addresses(where.address for server in servers for where in server.listens if not where.has_tls)
    secure = _addresses(where.address for server in servers for where in server.listens if where.has_tls)
    table = draft.table("server")
    if plain and plain != [":80"]:
        table["http"] = plain
    if secure and secure != [":443"]:
        table["https"] = secure
    if not plain:
        draft.notes.changed(
            "", "listen", "port 80 is served too: challenges of the CA come there, and redirects to https"
        )
    if not secure and not needs_tls:
        table["https"] = []
        draft.notes.changed(
            "",
            "https",
            "nginx had none, so server.https is []; take that line out for https with certificates by itself",
        )
    if len(plain) > 1 or len(secure) > 1:
        reason = (
            "a site on one address or port alone is reachable on all of [server] now; see to its firewall"
        )
        draft.notes.left_out("", "listen", reason)


def _addresses(found: Iterable[str]) -> list[str]:
    """Return each address once, without those that another one covers."""
    unique = list(dict.fromkeys(found))
    everywhere = {address for address in unique if address.startswith(":")}
    return [a for a in unique if a in everywhere or f":{a.rpartition(':')[2]}" not in everywhere]


def client_addresses(directives: Sequence[Directive], servers: Sequence[Server], draft: Draft) -> None:
    """Take over whom nginx believes about a client's address."""
    networks: list[str] = []
    header = "x-real-ip"
    for directive in directives:
        if directive.name == "real_ip_header":
            header = directive.first.lower()
        elif directive.name == "set_real_ip_from":
            try:
                networks.append(str(ip_network(directive.first, strict=False)))
            except ValueError:
                draft.notes.left_out(directive.place, directive.text, "trusted peers are networks")
    networks = list(dict.fromkeys(networks))
    if any(where.has_proxy_protocol for server in servers for where in server.listens):
        if networks:
            draft.table("server")["proxy_protocol"] = networks
        else:
            reason = "name the peers that speak it in server.proxy_protocol; until then nobody may"
            draft.notes.left_out("", "listen ... proxy_protocol", reason)
    if not networks or header == "proxy_protocol":
        return
    if header not in _CLIENT_FIELDS:
        draft.notes.left_out("", f"real_ip_header {header}", f"Foregate reads {', '.join(_CLIENT_FIELDS)}")
        return
    cloudflare = {str(network) for network in CLOUDFLARE}
    if cloudflare & set(networks):
        networks = ["cloudflare", *(network for network in networks if network not in cloudflare)]
    draft.table("client_ip").update(trusted=networks, header=header)


def before_a_site(directives: Sequence[Directive], draft: Draft) -> None:
    """Take over bounds that count before a request has said which site it is for; the most generous wins."""
    for directive in directives:
        try:
            if directive.name in ("keepalive_timeout", "client_header_timeout"):
                key = "idle" if directive.name == "keepalive_timeout" else "head"
                _longest(directive, key, draft)
            elif directive.name == "large_client_header_buffers" and len(directive.arguments) == 2:
                found = int(directive.first) * octets(directive.arguments[1])
                limits = draft.table("limits")
                limits["head_size"] = format_size(max(found, parse_size(limits.get("head_size", "0B"))))
            elif directive.name == "access_log":
                _access_log(directive, draft)
        except (UnclearError, ValueError) as exc:
            draft.notes.left_out(directive.place, directive.text, str(exc))


def _longest(directive: Directive, key: str, draft: Draft) -> None:
    found = duration(directive.first)
    if parse_duration(found) == 0:
        draft.notes.left_out(directive.place, directive.text, "Foregate always has this deadline")
        return
    timeouts = draft.table("timeouts")
    if parse_duration(found) > parse_duration(timeouts.get(key, "0s")):
        timeouts[key] = found


def _access_log(directive: Directive, draft: Draft) -> None:
    if directive.first == "off":
        draft.notes.changed(
            directive.place,
            directive.text,
            'all requests are logged; log.access = "off" switches it off for all',
        )
    else:
        draft.notes.changed("", "access_log", "the access log goes to standard output as JSON, see [log]")
