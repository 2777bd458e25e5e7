"""What sections have in common makes the same identities of them as reading each as a whole."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.caching.identity import MAX_CREDENTIALS, CommonIdentity, Identity, element_of, identify
from proxy.caching.key import KeyRules, compile_rules, digest_of, kept_cookies, rules_for_writes
from proxy.caching.vary import selecting_values
from proxy.config.schema import Cache
from proxy.http1.request import parse_request_fields
from tests.fakes.sections import GOOD_SECTIONS, GOOD_VALUES

SECRET = bytes(range(32))
KINDS_OF_RULES = (
    compile_rules(Cache(), SECRET),
    compile_rules(Cache(credentials="bypass", neutral_fields=("zone",)), SECRET),
    compile_rules(Cache(key_client_address=True, ignore_cookies=()), SECRET),
    rules_for_writes(SECRET),
)
NAMES = ((b"accept-encoding", b"user-agent"), (b"cookie", b"dnt"), ())


def facts(identity: Identity) -> tuple[object, ...]:
    return (
        *(identity.digest, identity.credential, identity.elements, identity.bypass, identity.is_plain),
        *(tuple(identity.pairs), identity.secret),
        *(identity.variant(names, selecting_values) for names in NAMES),
    )


@given(
    section=GOOD_SECTIONS,
    values=st.lists(GOOD_VALUES, min_size=1, max_size=4),
    rules=st.sampled_from(KINDS_OF_RULES),
    trusted=st.booleans(),
)
@example(
    section=b"Host: a\r\nCookie: a\r\n", values=[b"a;" * 127 + b"a"], rules=KINDS_OF_RULES[0], trusted=False
)
@example(
    section=b"Host: a\r\nCookie: a\r\n", values=[b"a;" * 128 + b"a"], rules=KINDS_OF_RULES[0], trusted=False
)
@example(
    section=b"X-Api-Key: a\r\nCookie: a\r\nZone: 1\r\n", values=[b"b;"], rules=KINDS_OF_RULES[1], trusted=True
)
def test_an_identity_is_the_same_however_it_is_made(
    section: bytes, values: list[bytes], rules: KeyRules, trusted: bool
) -> None:
    lines = parse_request_fields(section, 0, 100).lines
    pairs = tuple((lower, value) for lower, _, value in lines)
    at = [name for name, _ in pairs].index(b"cookie")
    common = CommonIdentity(pairs, at, rules, trusted=trusted)
    for value in values:
        whole = identify((*pairs[:at], (b"cookie", value), *pairs[at + 1 :]), rules, trusted=trusted)
        assert facts(common.with_cookie(value)) == facts(whole)
        assert len(whole.elements) <= MAX_CREDENTIALS


@given(
    value=GOOD_VALUES,
    globs=st.lists(st.text(alphabet="a_g*=; \t.\xe4", min_size=1, max_size=5), max_size=3),
)
@example(value=b" a =b; c", globs=["a"])
@example(value=b"a  =b", globs=["a *"])
@example(value=b"", globs=["*"])
@example(value=b" ;x", globs=["*"])
def test_a_look_ahead_misses_no_ignored_cookie(value: bytes, globs: list[str]) -> None:
    rules = compile_rules(Cache(ignore_cookies=tuple(globs)), SECRET)
    names = [re.compile(re.escape(glob.encode()).replace(rb"\*", b".*"), re.DOTALL) for glob in globs]
    cookies = [cookie.strip(b" \t") for cookie in value.split(b";")]
    kept = [
        cookie
        for cookie in cookies
        if not any(name.fullmatch(cookie.partition(b"=")[0].rstrip(b" \t")) for name in names)
    ]
    assert kept_cookies(value, rules) == (value if kept == cookies else b"; ".join(kept))


@given(name=st.sampled_from([b"cookie", b"authorization"]), value=GOOD_VALUES)
def test_a_credential_has_the_same_digest_however_it_is_made(name: bytes, value: bytes) -> None:
    expected = digest_of(SECRET, b"element", name, value)[:8]
    assert element_of(SECRET, name, value) == int.from_bytes(expected, "little")
