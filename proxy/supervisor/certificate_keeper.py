"""autocert at work on one storage folder, seen in the configuration's words.

Only this module and those that it serves import autocert, and only when a site needs it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autocert.errors import SettingsError
from autocert.local_ca import placeholder
from autocert.manager import Autocert
from autocert.problem import Kind, Problem
from autocert.problem import problem as problem_of
from autocert.settings import Settings, Wanted
from proxy.config.schema import Site
from proxy.supervisor.certificate_problems import CertificateProblem, CertificateProblems, translated
from proxy.supervisor.certificate_push import CertificatePush
from proxy.supervisor.certificate_rows import CertificateRow, row_of
from proxy.supervisor.certificate_wishes import Probing, by_plain_name, plain, wanted_of
from proxy.supervisor.moments import moment
from proxy.telemetry import process_log

if TYPE_CHECKING:
    from autocert.certificate import Certificate
    from autocert.diagnose import Diagnosis

_log = process_log.logger("certificates")

_LOCAL_CA: Final = Kind.LOCAL_CA.value
_PLACEHOLDER_NAME: Final = "placeholder.invalid"


class CertificateKeeper:
    """Gets and keeps the certificates of some sites; implements `autocert.listener.Listener`.

    `is_ours` tells whether a domain's certificate is still this keeper's to give.
    """

    def __init__(
        self,
        storage: Path,
        push: CertificatePush,
        problems: CertificateProblems,
        is_ours: Callable[[str], bool],
        probing: Probing,
    ) -> None:
        self._push = push
        self._problems = problems
        self._is_ours = is_ours
        self._domains: Mapping[str, str] = {}
        self._modes: Mapping[str, str] = {}
        self._impossible: dict[tuple[str, ...], CertificateProblem] = {}
        self._started = time.time()
        settings = Settings(storage=storage, resolver=probing.resolver, http_port=probing.http_port)
        self._autocert = Autocert(settings, self)

    async def start(self) -> None:
        """Begin to tend."""
        await self._autocert.start()

    async def close(self) -> None:
        """End what is under way; what is served goes on being served."""
        await self._autocert.close()

    async def want(self, sites: Iterable[Site]) -> None:
        """Tend the names of these sites from now on; return when what is stored of them is being served."""
        chosen = tuple(sites)
        self._domains = by_plain_name(name for site in chosen for name in site.domains)
        self._modes = {name: site.tls.mode for site in chosen for name in site.domains}
        self._impossible.clear()
        await self._autocert.want([wanted for site in chosen if (wanted := self._possible(site))])

    async def wait_for(self, name: str, seconds: float) -> CertificateProblem | None:
        """Return when there is a certificate for a domain, or why there is none."""
        return _why_not(await self._autocert.wait_for(plain(name), seconds))

    async def under_any_name(self, name: str, seconds: float) -> tuple[bytes, bytes] | None:
        """Return chain and key for a name under a site for any host, None when there can be none now."""
        outcome = await self._autocert.wait_for(name, seconds)
        return None if isinstance(outcome, Problem) else (outcome.chain_pem, outcome.key_pem)

    async def renew(self, name: str, seconds: float) -> CertificateProblem | None:
        """Order a new certificate now; return what is in the way after so many seconds, or None."""
        return _why_not(await self._autocert.renew(plain(name), seconds))

    async def restore(self, name: str) -> CertificateProblem | None:
        """Go back to the certificate before the present one, or keep a removed one; return what is in the way."""
        return _why_not(await self._autocert.restore(plain(name)))

    async def diagnose(self, name: str) -> "Diagnosis":
        """Find out why a name gets no certificate; takes some seconds."""
        return await self._autocert.diagnose(plain(name))

    @property
    def storage_problem(self) -> CertificateProblem | None:
        """Return what is wrong with the storage folder."""
        found = self._autocert.storage_problem
        return None if found is None else translated(found)

    def rows(self) -> list[CertificateRow]:
        """Return how all certificates stand, removed ones last."""
        rows = [
            CertificateRow(names=names, mode="acme", state="absent", problem=problem)
            for names, problem in self._impossible.items()
        ]
        for status in self._autocert.statuses():
            names = tuple(self._domains.get(name, name) for name in status.names)
            mode = "" if status.removed_at is not None else self._modes.get(names[0], "")
            row = row_of(status, names, mode)
            latest = self._problems.latest(names[0])
            if row.problem is None and latest is not None and latest.reason == _LOCAL_CA:
                row = replace(row, problem=latest)
            rows.append(row)
        return rows

    def has_removed(self, name: str) -> bool:
        """Tell whether the storage still holds a certificate of a domain that was removed."""
        statuses = self._autocert.statuses()
        return any(status.removed_at is not None and plain(name) in status.names for status in statuses)

    def _possible(self, site: Site) -> Wanted | None:
        """Return what a site wants, unless that can never be had, which must not keep others from theirs."""
        wanted = wanted_of(site)
        try:
            wanted.each()
        except SettingsError as error:
            problem = translated(problem_of(Kind.SETTINGS, site.name, fault=str(error)))
            self._impossible[site.domains] = problem
            for name in site.domains:
                self._problems.report(name, problem)
            return None
        return wanted

    # What autocert tells

    def certificate_available(self, name: str, certificate: "Certificate") -> None:
        """Have it served."""
        domain = self._domains.get(name)
        if domain is None or not self._is_ours(domain):
            return  # the configuration has changed meanwhile
        self._problems.solved(domain)
        self._push.serve(domain, certificate.chain_pem, certificate.key_pem)
        is_new = certificate.stored_at >= self._started
        log = _log.info if is_new else _log.debug
        words = {"name": domain, "issuer": certificate.issuer, "until": moment(certificate.not_after)}
        log("certificate in use", extra=process_log.fields(**words))

    async def thumbprint(self, names: tuple[str, ...], thumbprint: str) -> None:
        """Have challenges answered by all workers before the CA asks."""
        domains = [self._domains[name] for name in names if name in self._domains]
        await self._push.answer_challenges(domains, thumbprint)

    def challenge_pending(self, names: tuple[str, ...], pending: bool) -> None:
        """Have Cloudflare's edge greeted at once: it may turn the challenge into an https request."""
        if pending:
            now = time.time()

            def make() -> tuple[bytes, bytes]:
                made = placeholder(_PLACEHOLDER_NAME, now)
                return made.chain_pem, made.key_pem

            self._push.greet_edges(make, now)

    def problem(self, name: str, problem: Problem) -> None:
        """Log it."""
        self._problems.report(self._domains.get(name, name), translated(problem))


def _why_not(outcome: "Certificate | Problem") -> CertificateProblem | None:
    return translated(outcome) if isinstance(outcome, Problem) else None
