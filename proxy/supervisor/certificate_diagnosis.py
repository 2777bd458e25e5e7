"""`foregate diagnose` by itself: look at a name from here, and touch nothing that is kept.

That is so without a running instance, and always for a name that is not configured: whoever may ask the admin API
must not be able to send the supervisor to any address on the network.
"""

import tempfile
import time
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.admin.operations import Document
from proxy.config.schema import Config, Site
from proxy.supervisor.certificate_desk import diagnosis_document, found_document
from proxy.supervisor.certificate_files import UnusablePairError, load_pair, problem_of
from proxy.supervisor.certificate_problems import CertificateProblem, translated
from proxy.supervisor.certificate_wishes import FilePair, Probing, plain, wanted_of

if TYPE_CHECKING:
    from autocert.certificate import Certificate
    from autocert.diagnose import Question
    from autocert.problem import Problem


class _NobodyServes:
    """An `autocert.listener.Listener` without workers."""

    def certificate_available(self, name: str, certificate: "Certificate") -> None:
        """Serve nobody."""

    async def thumbprint(self, names: tuple[str, ...], thumbprint: str) -> None:
        """Answer no challenge."""

    def challenge_pending(self, names: tuple[str, ...], pending: bool) -> None:
        """Greet nobody."""

    def problem(self, name: str, problem: "Problem") -> None:
        """Leave it to the diagnosis."""


async def diagnose_alone(config: Config, name: str, probing: Probing) -> Document:
    """Find out why a domain gets no certificate."""
    site = next((site for site in config.sites if name in site.domains), None)
    if site is None:
        return await diagnose_unconfigured(config, name, probing)
    match site.tls.mode:
        case "off":
            why = 'tls.mode is "off"' if config.server.https else "server.https is empty"
            return diagnosis_document(name, [], (f"https is switched off for {name}: {why}.",))
        case "self-signed":
            return diagnosis_document(name, [], (f"{name} gets its certificate from the local CA.",))
        case "files":
            return diagnosis_document(name, _problems_of_files(site), ())
        case "acme":
            return await _diagnose_acme(site, name, probing)


def _problems_of_files(site: Site) -> list[CertificateProblem]:
    pair = FilePair(site.tls.certificate, site.tls.private_key)
    try:
        found = problem_of(load_pair(pair), pair, site.domains, time.time())
    except UnusablePairError as error:
        return [error.problem]
    return [] if found is None else [found]


async def _diagnose_acme(site: Site, name: str, probing: Probing) -> Document:
    # Imported here: it is the one case that needs it.
    from autocert.manager import Autocert
    from autocert.settings import Settings

    # In a storage of its own: files that another user makes in the real one would lock the proxy out.
    with tempfile.TemporaryDirectory(prefix="foregate-diagnose-") as folder:
        settings = Settings(storage=Path(folder), resolver=probing.resolver, http_port=probing.http_port)
        autocert = Autocert(settings, _NobodyServes())
        await autocert.want([wanted_of(site)])
        return found_document(await autocert.diagnose(plain(name)))


async def diagnose_unconfigured(config: Config, name: str, probing: Probing) -> Document:
    """Tell what a domain lacks that the running instance does not know, beginning with that."""
    # Imported here: it is the one case that needs it.
    from autocert.diagnose import diagnose
    from autocert.names import is_address, served_by_public_ca
    from autocert.problem import Kind, problem
    from autocert.resolver import Resolver
    from autocert.threads import Threads

    if any(site.tls.mode == "off" and name in site.domains for site in config.sites):
        return await diagnose_alone(config, name, probing)
    domains = [domain for site in config.sites for domain in site.domains]
    missing = translated(problem(Kind.NOT_WANTED, name))
    if name in domains:
        words = f"{name} is in the configuration file, but not in the configuration that is running."
        missing = replace(missing, what_is_wrong=words, what_to_do="Run foregate reload.")
    question = _question(config, name, probing.http_port)
    if not (served_by_public_ca(question.name) or is_address(question.name)):
        notes = [
            *_about_names(name, domains),
            f"No public CA knows such a name as {name}; the local CA does.",
        ]
        return diagnosis_document(name, [missing], notes)
    found = await diagnose(question, Resolver(probing.resolver), Threads())
    sure = (Kind.NO_ADDRESS, Kind.DNS_FAILS, Kind.RESOLVER_FAILS, Kind.CAA, Kind.PORT_CLOSED)
    problems = [one for one in found.problems if question.host or one.kind in sure]
    notes = [*_about_names(name, domains), *found.notes[:1]]
    if question.host and len(found.notes) > 1:
        notes.append(f"{name} leads to this proxy: challenges for {question.host} are answered there.")
    elif found.notes and not problems:
        notes.append(f"Port {probing.http_port} of {name} answers; nothing shows whether it is this proxy.")
    return diagnosis_document(name, [missing, *map(translated, problems)], notes)


def _question(config: Config, name: str, http_port: int) -> "Question":
    """Ask as the CA would; a configured name's challenges show whether an address leads here."""
    from autocert.diagnose import Question
    from autocert.settings import Authority

    witnesses = [
        domain
        for site in config.sites
        for domain in site.domains
        if site.tls.mode == "acme" and not site.tls.passthrough_challenges
    ]
    authority = Authority(directory=config.tls.directory)
    return Question(
        name=plain(name),
        thumbprint="",
        ca=authority.name,
        identities=("letsencrypt.org",) if authority.is_lets_encrypt else (),
        http_port=http_port,
        host=plain(witnesses[0]) if witnesses else "",
    )


def _about_names(name: str, domains: list[str]) -> list[str]:
    near = [one for one in get_close_matches(name, domains, n=1, cutoff=0.8) if one != name]
    notes = [f"{near[0]} is configured; was that meant?"] if near else []
    if "*" in domains:
        notes.append(f'The site for any host ("*") answers for {name} meanwhile.')
    return notes
