"""Say what is wrong with a certificate in one plain sentence, and in another what to do.

The sentences here are the only ones: log, status, `certs`, `diagnose` and the metric's reason all take them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final


class Kind(Enum):
    """What can be wrong; the value is the reason label of metrics."""

    NO_ADDRESS = "no-address"
    DNS_FAILS = "dns-fails"
    RESOLVER_FAILS = "resolver-fails"
    NOT_OURS = "record-not-ours"
    CLOUDFLARE = "cloudflare"
    CAA = "caa-forbids"
    PORT_CLOSED = "port-80-closed"
    ANSWERED_BY_OTHER = "port-80-answered-by-another"
    IPV6_ELSEWHERE = "ipv6-leads-elsewhere"
    CA_LIMIT = "ca-limit"
    OWN_BUDGET = "own-budget"
    NAME_REFUSED = "name-refused"
    CA_DOWN = "ca-unreachable"
    CA_UNTRUSTED = "ca-not-trusted"
    CA_SLOW = "ca-slow"
    CA_TROUBLE = "ca-trouble"
    NOT_ACME = "not-an-acme-directory"
    EAB_REQUIRED = "eab-required"
    EMAIL_REFUSED = "email-refused"
    ACCOUNT_REFUSED = "account-refused"
    PROFILE_UNKNOWN = "profile-unknown"
    KEY_REFUSED = "key-refused"
    REFUSED = "refused"
    WRONG_CERTIFICATE = "wrong-certificate"
    STORAGE_FULL = "storage-full"
    STORAGE_READ_ONLY = "storage-read-only"
    STORAGE_DENIED = "storage-denied"
    STORAGE_FAILS = "storage-fails"
    STORE_DAMAGED = "store-damaged"
    STORE_MODES = "store-modes"
    LOCAL_CA = "local-ca"
    CLOCK = "clock"
    SETTINGS = "settings"
    NOT_WANTED = "not-configured"
    NO_PREVIOUS = "no-previous"
    INTERNAL = "internal"


STORAGE_KINDS: Final = frozenset(
    {Kind.STORAGE_FULL, Kind.STORAGE_READ_ONLY, Kind.STORAGE_DENIED, Kind.STORAGE_FAILS}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `detail` is the CA's or system's own text, `next_attempt` is in wall seconds."""

    kind: Kind
    what_is_wrong: str
    what_to_do: str
    detail: str = ""
    next_attempt: float | None = None

    def __str__(self) -> str:
        """Give both sentences."""
        return f"{self.what_is_wrong} {self.what_to_do}"

    def again_at(self, moment: float | None) -> "Problem":
        """Return the problem with the moment of the next attempt."""
        return replace(self, next_attempt=moment)


def problem(kind: Kind, name: str, detail: str = "", **facts: str) -> Problem:
    """Make a problem from its sentences; `facts` fill their further blanks."""
    wrong, cure = SENTENCES[kind]
    blanks: Mapping[str, str] = _Blanks(facts, name=name)
    return Problem(kind, wrong.format_map(blanks), cure.format_map(blanks), " ".join(detail.split())[:1000])


class _Blanks(dict[str, str]):
    """The words for the blanks of a sentence; a missing one is named in general terms, never an error."""

    _GENERAL: Final = {
        "address": "its address",
        "ca": "the CA",
        "when": "later",
        "path": "the storage folder",
    }

    def __missing__(self, key: str) -> str:
        return self._GENERAL.get(key, "unknown")


SENTENCES: Final[dict[Kind, tuple[str, str]]] = {
    Kind.NO_ADDRESS: (
        "{name} has no A or AAAA record, so neither the CA nor a visitor can find this machine.",
        "Add an A record for {name} that points to this machine's public address.",
    ),
    Kind.DNS_FAILS: (
        "The name servers of {name} do not answer properly.",
        "Check the domain's name servers and its DNSSEC records with its DNS provider.",
    ),
    Kind.RESOLVER_FAILS: (
        "The name server that this machine uses does not answer, so {name} could not be looked up.",
        "Check this machine's DNS (/etc/resolv.conf); the CA may see it differently.",
    ),
    Kind.NOT_OURS: (
        "{name} points to {address}, where this proxy does not answer.",
        "Change the DNS record of {name} to this machine's public address, then wait until the old one has"
        " expired.",
    ),
    Kind.CLOUDFLARE: (
        "{name} points to Cloudflare (orange cloud), and the CA's request does not come through.",
        "In Cloudflare set SSL/TLS to Full and switch off Always Use HTTPS for /.well-known/acme-challenge/,"
        " or set the record to DNS only (grey cloud).",
    ),
    Kind.CAA: (
        "A CAA record at {where} forbids {ca} to issue certificates for {name}.",
        'Add a CAA record 0 issue "{identity}" at {where}, or remove the CAA records there.',
    ),
    Kind.PORT_CLOSED: (
        "Port 80 of {name} ({address}) cannot be reached from outside.",
        "Open TCP port 80 to this machine in the firewall and the router; the CA asks nowhere else.",
    ),
    Kind.ANSWERED_BY_OTHER: (
        "Port 80 of {name} ({address}) is answered by something other than this proxy.",
        "Send http requests for {name} to this proxy, or let whatever listens there pass"
        " /.well-known/acme-challenge/ on to it.",
    ),
    Kind.IPV6_ELSEWHERE: (
        "The AAAA record of {name} leads to {address}, where this proxy does not answer; CAs try IPv6 first.",
        "Correct the AAAA record of {name}, or remove it.",
    ),
    Kind.CA_LIMIT: (
        "{ca} has reached its limit for {name} and issues no more until {when}.",
        "Wait: it is asked again by itself then; ordering more often only prolongs it.",
    ),
    Kind.OWN_BUDGET: (
        "Foregate's own budget ({limit}) for {name} is used up until {when}; it stays below the CA's.",
        "Wait: it goes on by itself then; find out meanwhile why so many were needed.",
    ),
    Kind.NAME_REFUSED: (
        "{ca} issues no certificates for {name}.",
        'Check the spelling of {name}; for an internal name use mode "self-signed" or a CA of your own.',
    ),
    Kind.CA_DOWN: (
        "{ca} cannot be reached.",
        "Check this machine's DNS and its outgoing connections to {host}; it is tried again by itself.",
    ),
    Kind.CA_UNTRUSTED: (
        "The https certificate of {ca} is not trusted.",
        "Set tls.ca_file to the CA's root certificate, or correct tls.directory.",
    ),
    Kind.CA_SLOW: (
        "{ca} does not answer in time.",
        "Nothing needs to be done unless it stays so; it is tried again by itself.",
    ),
    Kind.CA_TROUBLE: (
        "{ca} has trouble of its own.",
        "Nothing needs to be done unless it stays so; it is tried again by itself.",
    ),
    Kind.NOT_ACME: (
        "What answers at {ca} is not an ACME directory.",
        "Correct tls.directory; it is the URL of the directory itself, usually ending in /directory.",
    ),
    Kind.EAB_REQUIRED: (
        "{ca} wants an account with external account binding, and did not accept ours.",
        "Set tls.eab_kid and tls.eab_hmac_key to what the CA gives you for that.",
    ),
    Kind.EMAIL_REFUSED: (
        "{ca} does not accept the configured e-mail address.",
        "Correct tls.email, or remove it.",
    ),
    Kind.ACCOUNT_REFUSED: (
        "{ca} does not accept our account.",
        "Check with the CA; to start with a new account, remove the folder accounts in the storage.",
    ),
    Kind.PROFILE_UNKNOWN: (
        "{ca} does not offer the configured certificate profile for {name}.",
        'Set tls.profile to one that the CA offers, or to "".',
    ),
    Kind.KEY_REFUSED: (
        "{ca} does not accept the kind of key that is configured.",
        'Set tls.key_type to "p256" or "rsa2048".',
    ),
    Kind.REFUSED: (
        "{ca} refused to issue a certificate for {name}.",
        "Read the CA's own words in the detail; foregate diagnose {name} checks the usual causes.",
    ),
    Kind.WRONG_CERTIFICATE: (
        "{ca} sent a certificate for {name} that cannot be used.",
        "Tell the CA's operator; the detail says what does not fit.",
    ),
    Kind.STORAGE_FULL: (
        "The disk that holds {path} is full, so nothing new can be kept there.",
        "Free some space; what is kept in memory is then written by itself.",
    ),
    Kind.STORAGE_READ_ONLY: (
        "{path} is on a read-only file system, so nothing new can be kept there.",
        "Mount it writable, or set tls.storage to a folder that is.",
    ),
    Kind.STORAGE_DENIED: (
        "{path} may not be read or written by this process.",
        "Give the storage folder and all in it to the user that Foregate runs as (chown -R).",
    ),
    Kind.STORAGE_FAILS: (
        "{path} cannot be used.",
        "Check the disk and the mount; what is kept in memory is served meanwhile.",
    ),
    Kind.STORE_DAMAGED: (
        "A stored file of {name} was damaged and has been set aside; {instead}.",
        "Nothing needs to be done; check the disk if it happens again.",
    ),
    Kind.STORE_MODES: (
        "{path} could be read by other users of this machine and has been closed to them.",
        "If others had access, order a new certificate with foregate certs renew {name}.",
    ),
    Kind.LOCAL_CA: (
        "No public CA issues certificates for {name}, so the local CA made one, which browsers do not trust.",
        'Trust {path} on your machines, or set mode "self-signed" for the site to silence this.',
    ),
    Kind.CLOCK: (
        "This machine's clock is wrong: the certificate that {name} has just got is dated {when}.",
        "Set the clock, and keep it right with NTP; renewals come at the wrong time otherwise.",
    ),
    Kind.SETTINGS: (
        "The certificate settings for {name} cannot work: {fault}.",
        "Correct the tls section of the configuration.",
    ),
    Kind.NOT_WANTED: (
        "{name} is not in the configuration.",
        'Add "{name}" to the domains of a [[site]], or write one with domains = ["{name}"] and its upstream; then'
        " run foregate reload.",
    ),
    Kind.NO_PREVIOUS: (
        "There is no certificate of {name} before the present one.",
        "Order a new one with foregate certs renew {name}.",
    ),
    Kind.INTERNAL: (
        "Foregate failed inside while it took care of the certificate for {name}.",
        "Please report it with the detail; it is tried again by itself.",
    ),
}
