"""The token bucket, and what identifies a bucket.

Theory of operation. A bucket of `burst` tokens that refills one token per period is kept as one number, its
debt: the time until it is full again (GCRA, the generic cell rate algorithm; ITU-T I.371). A request costs
one period of debt; it is allowed while the debt before it is at most `burst - 1` periods. From full that is
`burst` requests at once, then one per period, exactly as with counted tokens. What is stored is the moment
at which the debt ends, so nothing has to tick, and an idle bucket is one whose moment has passed.

Time is CLOCK_BOOTTIME, which setting the clock does not move and which counts on while the machine is
suspended.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol

# What a stored moment can express; `limiter_table` says how.
LONGEST_DEBT_US: Final = 1 << 42
# How far the clock readings of two workers may be apart: one reads it, and is then held up while another
# goes on.
CLOCK_SKEW_US: Final = 10_000_000
_MICROSECONDS: Final = 1_000_000
_WHOLE_ADDRESS: Final = 128
# RFC 6052: one translator's clients all share this /96, so the /64 would be the whole IPv4 Internet.
_NAT64_PREFIX: Final = bytes.fromhex("0064ff9b0000000000000000")
# RFC 3056: whoever has one IPv4 address has a /48 of these.
_6TO4_PREFIX: Final = bytes.fromhex("2002")
_6TO4_LENGTH: Final = 48


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A rate with its burst, in whole microseconds per token."""

    period_us: int
    burst: int
    # Derived: the largest debt at which a request is still allowed, and the largest that can be seen at all.
    tolerance_us: int = field(init=False)
    ceiling_us: int = field(init=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a bucket that could never give a token or takes too long to refill."""
        if self.period_us < 1 or self.burst < 1:
            raise ValueError(
                f"a bucket needs a period and a burst of at least 1, not {self.period_us} and {self.burst}"
            )
        object.__setattr__(self, "tolerance_us", self.period_us * (self.burst - 1))
        object.__setattr__(self, "ceiling_us", self.period_us * self.burst + CLOCK_SKEW_US)
        if self.ceiling_us > LONGEST_DEBT_US:
            longest = (LONGEST_DEBT_US - CLOCK_SKEW_US) // self.period_us
            raise ValueError(f"burst {self.burst} is too large for this rate: at most {longest}")

    @classmethod
    def of(cls, count: int, seconds: int, burst: int) -> "TokenBucket":
        """Make a bucket for `count` requests in `seconds`; the period is rounded up to a microsecond."""
        return cls(-(-seconds * _MICROSECONDS // count), burst)


class RateLimitStore(Protocol):
    """Where buckets are kept: the shared table of this machine, or a store that machines share.

    A store answers at once. One behind a network decides on what it knows locally and reconciles later: a
    request never waits for the limiter.
    """

    def take(self, bucket: int, kind: TokenBucket, now_ns: int) -> int:
        """Take one token at `now_ns` (CLOCK_BOOTTIME).

        Returns 0 when the request is allowed, else the microseconds until a token is there; nothing is
        taken then.
        """
        ...


def identity_length(packed: bytes, ipv6_prefix: int) -> int:
    """Tell how many bits of an address name its client: all of IPv4's, `ipv6_prefix` of IPv6's in general."""
    if len(packed) == 4 or packed.startswith(_NAT64_PREFIX):
        return 8 * len(packed)
    return min(ipv6_prefix, _6TO4_LENGTH) if packed.startswith(_6TO4_PREFIX) else ipv6_prefix


def client_identity(packed: bytes, ipv6_prefix: int) -> bytes:
    """Name who shares a bucket: an address whose bits beyond `identity_length` are zero.

    `packed` has 4 or 16 octets; IPv4-mapped addresses have been turned into IPv4 before.
    """
    length = identity_length(packed, ipv6_prefix)
    if length == 8 * len(packed):
        return packed
    if length == 64:
        return packed[:8] + b"\0\0\0\0\0\0\0\0"
    kept = -1 << (_WHOLE_ADDRESS - length)
    return (int.from_bytes(packed, "big") & kept).to_bytes(16, "big")


def scope_key(key: bytes, *scope: str) -> bytes:
    """Derive the key under which one scope's buckets are named: nothing, a site, or a site and a route.

    `key` is the supervisor's secret of 16 to 64 octets: who does not know it cannot choose two clients that
    meet in one place of the table.
    """
    name = b"".join(len(part).to_bytes(4, "big") + part for part in map(str.encode, scope))
    return blake2b(name, key=key, digest_size=32, person=b"foregate-scope").digest()


@lru_cache(maxsize=8192)
def bucket_fingerprint(scope: bytes, identity: bytes) -> int:
    """Name a client's bucket in a scope by 64 bits; 0.6 us, or 0.1 us when asked again soon.

    `scope` comes from `scope_key`, `identity` from `client_identity`.
    """
    return int.from_bytes(blake2b(identity, key=scope, digest_size=8).digest(), "little")
