"""Mode "files": certificates that somebody else makes and puts into files, taken up when the files change."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cryptography import x509

from proxy.config.schema import Config
from proxy.downstream.tls_contexts import CertificateError, KeyPair, build_context
from proxy.errors import ForegateError
from proxy.supervisor import privileges
from proxy.supervisor.certificate_problems import CertificateProblem
from proxy.supervisor.certificate_rows import CertificateRow
from proxy.supervisor.certificate_wishes import FilePair, plain, wishes_of
from proxy.supervisor.moments import moment
from proxy.supervisor.source import FileWatch, Fingerprint, fingerprint_of

_LARGEST: Final = 4 * 1024 * 1024
_State = tuple[Fingerprint | None, Fingerprint | None]


class UnusablePairError(ForegateError):
    """Say why a certificate and its key cannot be served."""

    def __init__(self, problem: CertificateProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCertificate:
    """A certificate that can be served: PEM, leaf first; moments are Unix time, `names` may have wildcards."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float

    def lacks(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of the domains it is not for."""
        return tuple(name for name in names if name != "*" and not self._covers(plain(name)))

    def _covers(self, name: str) -> bool:
        wildcard = "*." + name.partition(".")[2]  # RFC 6125 section 6.4.3: the whole leftmost label
        return name in self.names or wildcard in self.names


def load_pair(pair: FilePair) -> FileCertificate:
    """Read a certificate with its key, and make sure that workers can serve them. Raises UnusablePairError."""
    chain, key = _read(pair.certificate), _read(pair.private_key)
    try:
        build_context(KeyPair(chain, key))
        leaf = x509.load_pem_x509_certificates(chain)[0]
        return FileCertificate(
            chain=chain,
            key=key,
            names=_subject_names(leaf),
            issuer=leaf.issuer.rfc4514_string(),
            not_before=leaf.not_valid_before_utc.timestamp(),
            not_after=leaf.not_valid_after_utc.timestamp(),
        )
    except (CertificateError, ValueError) as exc:
        wrong, _, cure = str(exc).partition("; ")
        raise UnusablePairError(
            CertificateProblem(
                reason="file-unusable",
                what_is_wrong=f"{pair.certificate} and {pair.private_key} cannot be served: {wrong}.",
                what_to_do=f"{_sentence(cure or 'write both files anew')} The files are watched and taken up by "
                "themselves.",
            )
        ) from exc


def check_pairs(
    config: Config, now: float
) -> tuple[tuple[CertificateProblem, ...], tuple[CertificateProblem, ...]]:
    """Return what keeps pairs of a configuration from being served, and what is odd about others."""
    faults: list[CertificateProblem] = []
    warnings: list[CertificateProblem] = []
    for pair, names in wishes_of(config).files.items():
        try:
            problem = problem_of(load_pair(pair), pair, names, now)
        except UnusablePairError as error:
            faults.append(error.problem)
        else:
            warnings += [] if problem is None else [problem]
    return tuple(faults), tuple(warnings)


def problem_of(
    certificate: FileCertificate, pair: FilePair, names: tuple[str, ...], now: float
) -> CertificateProblem | None:
    """Return what is wrong with a certificate that can be served all the same."""
    if now >= certificate.not_after:
        return CertificateProblem(
            reason="file-expired",
            what_is_wrong=f"The certificate in {pair.certificate} ended on {moment(certificate.not_after)}.",
            what_to_do="Put a newer one there; it is taken up by itself.",
        )
    if now < certificate.not_before:
        return CertificateProblem(
            reason="file-not-yet-valid",
            what_is_wrong=f"The certificate in {pair.certificate} begins on {moment(certificate.not_before)}.",
            what_to_do="Check this machine's clock, or put one there that is valid now.",
        )
    if missing := certificate.lacks(names):
        return CertificateProblem(
            reason="file-names",
            what_is_wrong=f"The certificate in {pair.certificate} is not for {', '.join(missing)}.",
            what_to_do="Get one that covers every domain of the site, or correct tls.certificate.",
        )
    return None


def is_valid(certificate: FileCertificate, now: float) -> bool:
    """Tell whether browsers accept its dates."""
    return certificate.not_before <= now < certificate.not_after


@dataclass(frozen=True, slots=True)
class _Kept:
    """A pair in use; `served` is older than the files where `refused` says why these are not served."""

    pair: FilePair
    names: tuple[str, ...]
    watch: FileWatch[_State]
    served: FileCertificate | None = None
    refused: CertificateProblem | None = None

    def problem(self, now: float) -> CertificateProblem | None:
        """Return what is wrong with it."""
        if self.refused is not None or self.served is None:
            return self.refused
        return problem_of(self.served, self.pair, self.names, now)


class FileCertificates:
    """All pairs of the configuration; a bad pair never takes the place of a good one.

    `now` is Unix time.
    """

    def __init__(
        self,
        available: Callable[[tuple[str, ...], FileCertificate], None],
        report: Callable[[tuple[str, ...], CertificateProblem | None], None],
    ) -> None:
        """Tell of certificates, and of what is wrong with them or of nothing being wrong any more."""
        self._available = available
        self._report = report
        self._kept: dict[FilePair, _Kept] = {}
        self._told: dict[FilePair, CertificateProblem | None] = {}

    def follow(self, wanted: Mapping[FilePair, tuple[str, ...]], now: float) -> None:
        """Use these pairs from now on; all of them are read."""
        former = self._kept
        self._kept, self._told = {}, {}
        for pair, names in wanted.items():
            # Where a site now names other files, the old ones are served until the new ones can be.
            heir = former.get(pair) or next(
                (kept for kept in former.values() if not set(names).isdisjoint(kept.names)), None
            )
            watch = FileWatch(_state(pair))
            self._kept[pair] = _read_anew(
                _Kept(pair, names, watch, None if heir is None else heir.served), now
            )
            self._tell(pair, None, now)

    def poll(self, now: float) -> None:
        """Look for changed files; call it every few seconds."""
        for pair, kept in list(self._kept.items()):
            if kept.watch.poll(_state(pair)):
                self._kept[pair] = _read_anew(kept, now)
            self._tell(pair, kept.served, now)

    def rows(self, now: float) -> list[CertificateRow]:
        """Return how they stand."""
        return [_row(kept, now) for kept in self._kept.values()]

    def _tell(self, pair: FilePair, former: FileCertificate | None, now: float) -> None:
        kept = self._kept[pair]
        if kept.served is not None and kept.served != former:
            self._available(kept.names, kept.served)
        problem = kept.problem(now)
        if pair not in self._told or self._told[pair] != problem:
            self._told[pair] = problem
            self._report(kept.names, problem)


def _read_anew(kept: _Kept, now: float) -> _Kept:
    """Read the files; what is in them is served unless what is served already is better."""
    try:
        found = load_pair(kept.pair)
    except UnusablePairError as error:
        return replace(kept, refused=error.problem)
    if not is_valid(found, now) and kept.served is not None and is_valid(kept.served, now):
        return replace(kept, refused=problem_of(found, kept.pair, kept.names, now))
    return replace(kept, served=found, refused=None)


def _row(kept: _Kept, now: float) -> CertificateRow:
    served = kept.served
    shown = CertificateRow(
        names=kept.names,
        mode="files",
        state="absent",
        renews_because=f"when {kept.pair.certificate} changes",
        problem=kept.problem(now),
    )
    if served is None:
        return shown
    return replace(
        shown,
        state="valid" if now < served.not_after else "expired",
        issuer=served.issuer,
        not_before=served.not_before,
        not_after=served.not_after,
    )


def _state(pair: FilePair) -> _State:
    return fingerprint_of(Path(pair.certificate)), fingerprint_of(Path(pair.private_key))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise OSError(0, f"it is larger than {_LARGEST} bytes")
            return file.read(_LARGEST)
    except OSError as exc:
        user = privileges.current_user()
        raise UnusablePairError(
            CertificateProblem(
                reason="file-unreadable",
                what_is_wrong=f"{path} cannot be read: {(exc.strerror or str(exc)).lower()}.",
                what_to_do=f"Put the file there, and let the user {user}, as whom Foregate runs, read it.",
            )
        ) from exc


def _subject_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Return the names that browsers look at: a common name alone has not counted for years.

    Nothing where the library cannot read them, which is for browsers to judge.
    """
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    hosts = (name.lower() for name in names.get_values_for_type(x509.DNSName))
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
