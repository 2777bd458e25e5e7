"""A CA without a network, under a manual clock, that counts as Let's Encrypt does and refuses what is too much.

`SimCa.connect` stands in for `autocert.session.connect`, so that everything above the wire is the real thing.
"""

import base64
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from autocert import keys
from autocert.errors import ProblemDocument, ReplyError, Unreachable, UnreachableError
from autocert.names import registered_domain
from autocert.renewal import Window
from autocert.replies import Authorization, Order
from autocert.settings import Authority
from tests.fakes.autocert_world import ManualClock
from tests.fakes.root_ca import TestCa

HOUR: Final = 3600.0
WEEK: Final = 7 * 86400.0
# What Let's Encrypt publishes.
LIMITS: Final = {
    "orders": (300, 3 * HOUR),
    "domain": (50, WEEK),
    "set": (5, WEEK),
    "failure": (5, HOUR),
    "accounts": (10, 3 * HOUR),
}


@dataclass(slots=True)
class SimOrder:
    """An order; `exempt` when it names what it replaces."""

    names: tuple[str, ...]
    exempt: bool
    status: str = "pending"
    processing: int = 0
    chain: bytes = b""
    ari_id: str = ""
    answered: set[str] = field(default_factory=set)


class SimCa:
    """The CA; `is_down`, `failing`, `lifetime`, `renewal_share` may be changed while it runs."""

    def __init__(self, clock: ManualClock, *, ari: bool = True, lifetime: float = 90 * 86400.0) -> None:
        self._clock = clock
        # The CA's time does not follow the clock of the machine that it serves.
        self._epoch = clock.wall() - clock.steady()
        self._born = clock.wall()
        self._root = TestCa("sim CA", now=clock.wall())
        self.ari = ari
        self.lifetime = lifetime
        self.is_down = False
        self.failing: set[str] = set()
        self.orders: dict[str, SimOrder] = {}
        self.accounts: set[str] = set()
        self.contacts: dict[str, tuple[str, ...]] = {}
        self.refused_contacts: set[str] = set()
        self.replaced: set[str] = set()
        self.counted: dict[str, list[float]] = defaultdict(list)
        self.over_limit: list[str] = []
        self.calls: dict[str, int] = defaultdict(int)
        self.before: Callable[[str], None] = lambda _call: None
        # Where the suggested window begins, as a share of the lifetime.
        self.renewal_share = 0.6

    @property
    def now(self) -> float:
        """The CA's own wall time."""
        return self._epoch + self._clock.steady()

    def connect(self, authority: Authority, key: EllipticCurvePrivateKey) -> "SimConnection":
        """Return a connection, as `autocert.session.connect` does."""
        return SimConnection(self, keys.thumbprint(key))

    def count(self, key: str) -> None:
        """Count something; refuse it, and remember that it came so far, when it is too much."""
        allowed, span = LIMITS[key.split()[0]]
        recent = [when for when in self.counted[key] if when > self.now - span]
        if len(recent) >= allowed:
            self.over_limit.append(key)
            raise _refused("rateLimited", 429, span - (self.now - recent[0]))
        self.counted[key] = [*recent, self.now]

    def enter(self, call: str) -> None:
        """Begin a call."""
        self.calls[call] += 1
        self.before(call)
        if self.is_down:
            raise UnreachableError(Unreachable.REFUSED, "the CA is down")

    def sign(self, order: SimOrder, request_der: bytes) -> None:
        """Make the certificate of an order."""
        if not order.exempt:
            self.count(f"set {','.join(sorted(order.names))}")
            for domain in sorted({registered_domain(name) for name in order.names}):
                self.count(f"domain {domain}")
        public_key = x509.load_der_x509_csr(request_der).public_key()
        assert isinstance(public_key, keys.PublicKey)
        begins = self.now - self._born
        order.chain = self._root.sign(public_key, list(order.names), begins=begins, lasts=self.lifetime)
        order.ari_id = _ari_id(order.chain)


class SeededKeys:
    """Stands in for `autocert.keys.new_key`: always the same keys in the same order, as a simulation needs."""

    def __init__(self, seed: int) -> None:
        self._next = 1000 * seed + 100

    def new_key(self, key_type: str) -> keys.PrivateKey:
        """Return the next key."""
        self._next += 1
        return ec.derive_private_key(self._next, ec.SECP256R1())


class SimConnection:
    """One account's way to it."""

    def __init__(self, ca: SimCa, thumbprint: str) -> None:
        self._ca = ca
        self._key = thumbprint
        self._account = ""

    def allow(self, seconds: float) -> None:
        """Nothing takes time here."""

    def begin(self) -> None:
        """Return nothing, if the CA is there."""
        self._ca.enter("directory")

    def use_account(self, uri: str) -> None:
        """Remember the account."""
        self._account = uri

    def register(self, email: str, eab_kid: str, eab_hmac_key: str) -> str:
        """Make the account."""
        self._ca.enter("register")
        uri = f"account/{self._key}"
        if uri not in self._ca.accounts:
            self._ca.count("accounts")
            self._ca.accounts.add(uri)
            self._ca.contacts[uri] = (email,) if email else ()
        return uri

    def update_contact(self, emails: tuple[str, ...]) -> None:
        """Take the account's addresses."""
        self._enter("update_contact")
        if self._ca.refused_contacts & set(emails):
            raise _refused("invalidContact", 400)
        self._ca.contacts[self._account] = emails

    def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        """Take an order."""
        self._enter("new_order")
        if replaces:
            if replaces in self._ca.replaced:
                raise _refused("alreadyReplaced", 409)
            self._ca.replaced.add(replaces)
        else:
            self._ca.count("orders")
            for name in names:
                recent = [when for when in self._ca.counted[f"failure {name}"] if when > self._ca.now - HOUR]
                if len(recent) >= LIMITS["failure"][0]:
                    self._ca.over_limit.append(f"failure {name}")
                    raise _refused("rateLimited", 429, HOUR)
        url = f"order/{len(self._ca.orders) + 1}"
        self._ca.orders[url] = SimOrder(names, exempt=bool(replaces))
        return self._order(url)

    def order(self, url: str) -> Order:
        """Return an order."""
        self._enter("order")
        if url not in self._ca.orders:
            raise _refused("malformed", 404)
        order = self._ca.orders[url]
        if order.status == "processing":
            order.status = "valid"
        return self._order(url)

    def authorization(self, url: str) -> Authorization:
        """Return an authorization, which is decided once its challenge was answered."""
        self._enter("authorization")
        order_url, _, name = url.rpartition("#")
        order = self._ca.orders[order_url]
        status, error = "pending", None
        if name in order.answered:
            status = "invalid" if name in self._ca.failing else "valid"
        if status == "invalid":
            error = ProblemDocument("urn:ietf:params:acme:error:connection", "203.0.113.7: timeout")
        return Authorization(
            url=url,
            name=name,
            status=status,
            challenge=url,
            challenge_status=status,
            error=error,
            retry_after=None,
        )

    def answer(self, challenge_url: str) -> None:
        """Validate."""
        self._enter("answer")
        order_url, _, name = challenge_url.rpartition("#")
        order = self._ca.orders[order_url]
        order.answered.add(name)
        if name in self._ca.failing:
            order.status = "invalid"
            self._ca.counted[f"failure {name}"].append(self._ca.now)
        elif order.status == "pending" and set(order.names) <= order.answered:
            order.status = "ready"

    def finalize(self, order: Order, request_der: bytes) -> Order:
        """Make the certificate, which is ready when it is asked for again."""
        self._enter("finalize")
        ours = self._ca.orders[order.url]
        self._ca.sign(ours, request_der)
        ours.status = "processing"
        return self._order(order.url)

    def download(self, url: str) -> bytes:
        """Return the chain."""
        self._enter("download")
        return self._ca.orders[url].chain

    def offers_renewal_information(self) -> bool:
        """Tell whether there are windows."""
        self._ca.enter("directory")
        return self._ca.ari

    def renewal_information(self, ari_id: str) -> tuple[Window | None, float | None]:
        """Return a window that begins at a share of the lifetime and lasts for a twentieth of it."""
        self._ca.enter("renewal_information")
        if not self._ca.ari:
            return None, None
        for order in self._ca.orders.values():
            if order.ari_id == ari_id:
                leaf = x509.load_pem_x509_certificate(order.chain)
                begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
                start = begins + self._ca.renewal_share * (ends - begins)
                return Window(start, start + (ends - begins) / 20), 6 * HOUR
        raise _refused("malformed", 404)

    def caa_identities(self) -> tuple[str, ...]:
        """Return the CA's names in CAA records."""
        self._ca.enter("directory")
        return ("letsencrypt.org",)

    def _enter(self, call: str) -> None:
        self._ca.enter(call)
        if self._account not in self._ca.accounts:
            raise _refused("accountDoesNotExist", 400)

    def _order(self, url: str) -> Order:
        order = self._ca.orders[url]
        return Order(
            url=url,
            status=order.status,
            authorizations=tuple(f"{url}#{name}" for name in order.names),
            finalize=url,
            certificate=url if order.status == "valid" else "",
            error=None,
            retry_after=None,
        )


def _ari_id(chain: bytes) -> str:
    leaf = x509.load_pem_x509_certificate(chain)
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert authority is not None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (authority, serial))


def _refused(code: str, status: int, retry_after: float | None = None) -> ReplyError:
    return ReplyError(ProblemDocument(f"urn:ietf:params:acme:error:{code}", code, status), retry_after)
