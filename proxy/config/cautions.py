"""What is allowed and hardly meant: warnings about a configuration without faults."""

import os
import re
import unicodedata
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

import idna

from proxy.config.findings import Caution, show
from proxy.config.names import needs_local_ca
from proxy.config.quantities import format_size
from proxy.config.schema import ListenAddress
from proxy.config.server_rules import listeners
from proxy.config.subject import Subject

_SESSION: Final = re.compile(r"sess|sid$|^sid|auth|token|jwt|login|user|csrf|xsrf", re.IGNORECASE)
_FEW_WORKERS: Final = 8  # no harm on any machine
_FOR_EACH_CPU: Final = 4
_IDENTITY: Final = re.compile(r"auth|token|key|session|user|identity", re.IGNORECASE)
_LOOKALIKE_SCRIPTS: Final = frozenset(("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"))

# These count before a request has said which site it is for, or for what all sites share.
_NOT_PER_SITE: Final = (
    ("timeouts", ("hello", "head", "idle")),
    ("limits", ("connections_per_ip",)),
    ("cache", ("size",)),
)
_WHOLE_WORLD: Final = (
    (("client_ip", "trusted"), "everyone is believed: any client can take any address"),
    (("server", "proxy_protocol"), "everyone is believed: any client can take any address"),
    (("rate_limit", "exempt"), "nobody is limited"),
    (("firewall", "deny"), "nobody gets in"),
)


def local_names(subject: Subject) -> Iterator[Caution]:
    """Warn of names that get a certificate which no browser knows."""
    for index, table, site in subject.sites():
        for number, name in enumerate(table.domains or ()):
            if site.tls.mode == "acme" and needs_local_ca(name, site.tls.directory, site.tls.profile):
                message = f"no public CA serves {show(name)}: it gets a certificate of the local CA"
                yield Caution(("site", index, "domains", number), message)


def lookalike_names(subject: Subject) -> Iterator[Caution]:
    """Warn of names whose letters come from several scripts that look alike."""
    for index, table, _ in subject.sites():
        for number, name in enumerate(table.domains or ()):
            for label in name.split("."):
                scripts = _scripts(label) & _LOOKALIKE_SCRIPTS
                if len(scripts) > 1:
                    alike = " and ".join(sorted(scripts)).lower()
                    message = f"this is {show(name)}: it mixes {alike} letters, which look alike"
                    yield Caution(("site", index, "domains", number), message)


def _scripts(label: str) -> set[str]:
    if not label.startswith("xn--"):
        return set()
    return {unicodedata.name(letter, "?").split()[0] for letter in idna.decode(label) if letter.isalpha()}


def tls_without_listeners(subject: Subject) -> Iterator[Caution]:
    """Warn of TLS that nobody can reach, and of certificates that cannot come."""
    server = subject.config.server
    for index, _, site in subject.sites():
        mode = subject.origin(("site", index), "tls", "mode")
        if not server.https and subject.value(mode) not in (None, "off"):
            yield Caution(mode, "without server.https every site is served over http alone")
        if not server.http and site.tls.mode == "acme":
            message = "challenges come to port 80: with no listener, something else has to send them here"
            yield Caution(("server", "http"), message)
        if site.tls.mode == "acme" and site.tls.passthrough_challenges:
            message = "challenges go to the app: Foregate itself gets no certificates"
            yield Caution(subject.origin(("site", index), "tls", "passthrough_challenges"), message)


def certificates_without_use(subject: Subject) -> Iterator[Caution]:
    """Warn of certificate files that no site uses."""
    for key in ("certificate", "private_key"):
        origins = {
            subject.origin(("site", index), "tls", key): site.tls.mode
            for index, _, site in sorted(subject.sites(), key=lambda entry: entry[2].tls.mode == "files")
            if getattr(site.tls, key)
        }
        for origin, mode in origins.items():
            if mode != "files" and subject.config.server.https:
                yield Caution(origin, 'it has no effect: tls.mode is not "files"')


def strict_transport_without_trust(subject: Subject) -> Iterator[Caution]:
    """Warn of HSTS where browsers would then refuse the site."""
    for index, _, site in subject.sites():
        if site.tls.hsts and site.tls.mode == "self-signed":
            message = "browsers offer no way around a self-signed certificate once they have seen this"
            yield Caution(subject.origin(("site", index), "tls", "hsts"), message)


def unused_client_field(subject: Subject) -> Iterator[Caution]:
    """Warn of a client address field that nobody is trusted to send."""
    table = subject.document.client_ip
    if table is not None and "header" in table.model_fields_set and not subject.config.client_ip.trusted:
        yield Caution(("client_ip", "header"), "nobody is believed: client_ip.trusted is empty")


def whole_world(subject: Subject) -> Iterator[Caution]:
    """Warn of lists that name every address."""
    for (section, key), message in _WHOLE_WORLD:
        for number, network in enumerate(getattr(getattr(subject.config, section), key)):
            if getattr(network, "prefixlen", None) == 0:
                yield Caution((section, key, number), message)


def open_admin_port(subject: Subject) -> Iterator[Caution]:
    """Warn of an admin token that travels in the clear."""
    admin = subject.config.server.admin
    if isinstance(admin, ListenAddress) and not (admin.host and ip_address(admin.host).is_loopback):
        yield Caution(
            ("server", "admin"), "the token travels without encryption; keep this port off the network"
        )


def many_workers(subject: Subject) -> Iterator[Caution]:
    """Warn of workers that only take memory from each other."""
    wanted, cpus = subject.config.server.workers, len(os.sched_getaffinity(0))
    if wanted != "auto" and wanted > max(_FEW_WORKERS, _FOR_EACH_CPU * cpus):
        have = f"this machine has {cpus} CPUs" if cpus > 1 else "this machine has one CPU"
        message = f'{have}: more workers than CPUs are not faster, and each takes 40 MB; "auto" fits'
        yield Caution(("server", "workers"), message)


def keys_of_no_effect_here(subject: Subject) -> Iterator[Caution]:
    """Warn of keys in a site that count before the site is known, or for all sites together."""
    for place, table, _ in subject.routes():
        for section, keys in _NOT_PER_SITE:
            written: Any = getattr(table, section)
            for key in keys:
                if written is not None and key in written.model_fields_set:
                    message = f"it counts for all sites together: set it in [{section}]"
                    yield Caution((*place, section, key), message)


def large_objects(subject: Subject) -> Iterator[Caution]:
    """Warn of answers that are to be kept and do not fit."""
    size = subject.config.cache.size
    for place, _, route in subject.routes():
        if route.cache.ttl and route.cache.object_size > size:
            origin = subject.origin(place, "cache", "object_size")
            kept, room = format_size(route.cache.object_size), format_size(size)
            message = f'cache.object_size is "{kept}" and cache.size "{room}": such answers are never kept'
            yield Caution(origin if subject.value(origin) is not None else ("cache", "size"), message)


def identity_out_of_the_key(subject: Subject) -> Iterator[Caution]:
    """Warn of cookies and fields left out of the cache key that may say who somebody is."""
    message = "it may say who a user is; without it in the key users would see each other's pages"
    for place, _, route in subject.routes():
        for key, suspicious in (("ignore_cookies", _SESSION), ("neutral_fields", _IDENTITY)):
            for number, name in enumerate(getattr(route.cache, key)):
                if suspicious.search(name):
                    yield Caution((*subject.origin(place, "cache", key), number), f"{show(name)}: {message}")


def own_upstreams(subject: Subject) -> Iterator[Caution]:
    """Warn of upstreams that are this proxy, and of the same one twice."""
    own = [address for _, address in listeners(subject)]
    for place, table, route in subject.routes():
        if "upstream" not in table.model_fields_set:
            continue
        seen: set[tuple[str, str, int, str]] = set()
        for number, upstream in enumerate(route.upstream):
            path = (*place, "upstream", number)
            if any(_is_own(upstream.host, upstream.port, address) for address in own):
                yield Caution(
                    path, "this is Foregate's own port: requests would come back until they are refused"
                )
            identity = (upstream.scheme, upstream.host, upstream.port, upstream.path)
            if identity in seen:
                yield Caution(path, "it is listed twice; use weight to give it a larger share")
            seen.add(identity)


def _is_own(host: str, port: int, listener: ListenAddress) -> bool:
    loopback = {"localhost": "127.0.0.1"}.get(host, host)
    if port != listener.port or loopback not in ("127.0.0.1", "::1"):
        return False
    any_of_family = "0.0.0.0" if loopback == "127.0.0.1" else "::"  # noqa: S104 (compared, not bound)
    return listener.host in ("", loopback, any_of_family)


def tls_to_plain_upstreams(subject: Subject) -> Iterator[Caution]:
    """Warn of TLS settings for upstreams that are spoken to without it."""
    for place, table, route in subject.routes():
        for key in ("upstream_ca_file", "upstream_server_name"):
            has_tls = any(upstream.scheme == "https" for upstream in route.upstream)
            if key in table.model_fields_set and getattr(table, key) and not has_tls:
                yield Caution((*place, key), "it has no effect: no upstream here begins with https://")


CAUTIONS: Final = (
    local_names,
    lookalike_names,
    tls_without_listeners,
    certificates_without_use,
    strict_transport_without_trust,
    unused_client_field,
    whole_world,
    open_admin_port,
    many_workers,
    keys_of_no_effect_here,
    large_objects,
    identity_out_of_the_key,
    own_upstreams,
    tls_to_plain_upstreams,
)
