"""`foregate diagnose` without a running instance: look at a name from here, and touch nothing that is kept."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.admin.operations import Document
from proxy.config.schema import Config, Site
from proxy.supervisor.certificate_desk import diagnosis_document, found_document
from proxy.supervisor.certificate_files import UnusablePairError, load_pair, problem_of
from proxy.supervisor.certificate_problems import CertificateProblem
from proxy.supervisor.certificate_wishes import FilePair, Probing, plain, wanted_of

if TYPE_CHECKING:
    from autocert.certificate import Certificate
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


async def diagnose_alone(config: Config, name: str, probing: Probing) -> Document | None:
    """Find out why a domain gets no certificate; None for a domain that is not configured."""
    site = next((site for site in config.sites if name in site.domains), None)
    if site is None:
        return None
    match site.tls.mode:
        case "off":
            return diagnosis_document(name, [], (f'https is switched off for {name}: tls.mode is "off".',))
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
