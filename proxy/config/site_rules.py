"""Faults between keys of sites and routes."""

from collections.abc import Iterator
from typing import Final

from proxy.config.findings import SMALLEST_FILE, Finding, Path, show
from proxy.config.http_values import url_scheme_and_host
from proxy.config.quantities import DAY, format_rate
from proxy.config.schema import RateLimit
from proxy.config.subject import Subject

_LONGEST_REFILL: Final = 50 * DAY  # what the limiter's table can express, less a margin


def no_site(subject: Subject) -> Iterator[Finding]:
    """Find a file without any site."""
    if not subject.config.sites:
        yield Finding(("site",), "nothing", "at least one [[site]]", SMALLEST_FILE)


def missing_keys(subject: Subject) -> Iterator[Finding]:
    """Find sites without names, routes without a path, upstreams without a URL."""
    for index, table, _ in subject.sites():
        if not table.domains:
            found = "nothing" if table.domains is None else "an empty list"
            hint = '["*"] is any name'
            yield Finding(("site", index, "domains"), found, "the names of the site", hint)
        for number, route in enumerate(table.route or ()):
            if route.path is None:
                path: Path = ("site", index, "route", number, "path")
                yield Finding(path, "nothing", 'a path such as "/api/"')
    for place, forwarding, _ in subject.routes():
        for number, upstream in enumerate(forwarding.upstream or ()):
            if upstream.url is None:
                path = (*place, "upstream", number, "url")
                yield Finding(path, "nothing", 'an upstream such as "http://app:3000"')


def repeated_domains(subject: Subject) -> Iterator[Finding]:
    """Find names that two sites want, or that one site has twice."""
    seen: dict[str, Path] = {}
    for index, table, _ in subject.sites():
        for number, name in enumerate(table.domains or ()):
            path: Path = ("site", index, "domains", number)
            if name in seen:
                hint = f"{subject.key(seen[name])} is the same name"
                yield Finding(path, show(name), "every name once", hint, needs=(seen[name],))
            seen.setdefault(name, path)


def star_among_names(subject: Subject) -> Iterator[Finding]:
    """Find "*" beside other names."""
    for index, table, _ in subject.sites():
        if "*" in (table.domains or ()) and len(set(table.domains)) > 1:
            path: Path = ("site", index, "domains", table.domains.index("*"))
            yield Finding(path, '"*"', 'names, or "*" alone', "it stands for all names, these too")


def repeated_routes(subject: Subject) -> Iterator[Finding]:
    """Find routes with the same path, and those that stand for the site itself."""
    for index, table, _ in subject.sites():
        seen: dict[str, Path] = {}
        for number, route in enumerate(table.route or ()):
            path: Path = ("site", index, "route", number, "path")
            prefix = (route.path or "").rstrip("/")
            if route.path == "/":
                hint = "that is the site itself: write the keys of this route into [[site]]"
                yield Finding(path, show(route.path), "a part of the site", hint)
            elif prefix and prefix in seen:
                hint = f"{subject.key(seen[prefix])} covers the same requests"
                yield Finding(path, show(route.path), "every path once", hint, needs=(seen[prefix],))
            seen.setdefault(prefix, path)


def nowhere_to_go(subject: Subject) -> Iterator[Finding]:
    """Find sites and routes that neither forward nor redirect."""
    for place, table, route in subject.routes():
        if route.upstream or route.redirect:
            continue
        if (
            len(place) > 2
            and "redirect" not in table.model_fields_set
            and "upstream" not in table.model_fields_set
        ):
            continue  # as in its site, where it is said already
        found = "an empty list" if "upstream" in table.model_fields_set else "nothing"
        needs = ((*place, "redirect"), (*place[:2], "upstream"), (*place[:2], "redirect"))
        yield Finding((*place, "upstream"), found, "an upstream or a redirect", needs=needs)


def only_backups(subject: Subject) -> Iterator[Finding]:
    """Find upstreams that are all backups of each other."""
    for place, table, route in subject.routes():
        if (
            "upstream" in table.model_fields_set
            and route.upstream
            and all(item.backup for item in route.upstream)
        ):
            hint = "a backup stands in for upstreams that are none"
            yield Finding((*place, "upstream"), "backups alone", "an upstream that is no backup", hint)


def endless_redirects(subject: Subject) -> Iterator[Finding]:
    """Find sites that redirect to themselves."""
    for index, table, site in subject.sites():
        target = url_scheme_and_host(site.routes[-1].redirect)
        if target is None or table.route or site.routes[-1].redirect.count("/") > 2:
            continue
        if (f"[{target[1]}]" if ":" in target[1] else target[1]) in site.domains:
            path: Path = ("site", index, "redirect")
            hint = "the browser would come back for ever; https is set with server.redirect_https"
            yield Finding(
                path, show(table.redirect), "another site", hint, needs=(("site", index, "domains"),)
            )


def repeated_fields(subject: Subject) -> Iterator[Finding]:
    """Find fields that one table sets twice, in different spellings."""
    for place, table, _ in subject.routes():
        for key in ("set_request_headers", "set_response_headers"):
            seen: dict[str, str] = {}
            for name in getattr(table, key) or {}:
                first = seen.setdefault(name.lower(), name)
                if first != name:
                    hint = f"{show(first)} is the same: the case of field names does not count"
                    yield Finding((*place, key, name), show(name), "every field once", hint)


def rates_of_a_shared_bucket(subject: Subject) -> Iterator[Finding]:
    """Find sites with a rate of their own while all sites share one bucket per client."""
    shared = subject.config.rate_limit
    for index, table, site in subject.sites():
        limit = site.routes[-1].rate_limit
        if limit.per != "proxy" or limit.rate is None or table.rate_limit is None:
            continue
        written = {"rate": format_rate(limit.rate), "burst": limit.burst}
        for key, value in written.items():
            if key in table.rate_limit.model_fields_set and getattr(limit, key) != getattr(shared, key):
                path: Path = ("site", index, "rate_limit", key)
                needs = subject.candidates(("site", index), "rate_limit", "per")
                expected = 'no rate of its own while per is "proxy", which is one bucket for all sites'
                hint = 'add per = "site" here, or set the rate at the top level'
                yield Finding(path, show(value), expected, hint, needs)


def endless_buckets(subject: Subject) -> Iterator[Finding]:
    """Find bursts that would take longer to come back than a bucket can count."""
    places: list[tuple[Path, RateLimit]] = [((), subject.config.rate_limit)]
    places += [(place, route.rate_limit) for place, _, route in subject.routes()]
    for place, limit in places:
        if limit.rate is None:
            continue
        most = int(_LONGEST_REFILL * limit.rate.count / limit.rate.seconds)
        if limit.burst > most:
            needs = subject.candidates(place, "rate_limit", "rate")
            expected = f"at most {most} with the rate {show(format_rate(limit.rate))}"
            hint = f"more would take over {_LONGEST_REFILL / DAY:.0f} days to come back"
            path = subject.origin(place, "rate_limit", "burst")
            yield Finding(path, show(limit.burst), expected, hint, needs)


RULES: Final = (
    no_site,
    missing_keys,
    repeated_domains,
    star_among_names,
    repeated_routes,
    nowhere_to_go,
    only_backups,
    endless_redirects,
    repeated_fields,
    rates_of_a_shared_bucket,
    endless_buckets,
)
