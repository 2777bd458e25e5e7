"""The published lists: names that are neutral, names that carry an identity, values that are suspicious."""

from pathlib import Path

import pytest

from proxy.caching import neutral
from proxy.caching.neutral import CLIENT_ADDRESS, PUBLISHED_NEUTRAL, is_credential, is_neutral, is_suspicious


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"authorization",
            b"proxy-authorization",
            b"cookie",
            b"x-api-key",
            b"api-key",
            b"x-auth-token",
            b"private-token",
        ),
        *(
            b"x-amz-security-token",
            b"cf-access-jwt-assertion",
            b"x-session-id",
            b"x-user",
            b"x-csrf-token",
            b"dpop",
        ),
        *(
            b"x-ms-client-principal",
            b"ocp-apim-subscription-key",
            b"x_api_key",
            b"from",
            b"sec-private-state-token",
        ),
    ],
)
def test_fields_that_may_carry_an_identity_are_credentials_and_never_neutral(name: bytes) -> None:
    assert is_credential(name)
    assert not is_neutral(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"accept",
            b"accept-encoding",
            b"user-agent",
            b"referer",
            b"sec-fetch-mode",
            b"sec-ch-ua-platform",
            b"dnt",
        ),
        *(
            b"if-none-match",
            b"range",
            b"cache-control",
            b"pragma",
            b"traceparent",
            b"x-request-id",
            b"cf-ray",
        ),
    ],
)
def test_what_browsers_and_tracers_always_send_is_neutral(name: bytes) -> None:
    assert is_neutral(name)
    assert not is_credential(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"origin",
            b"x-requested-with",
            b"x-forwarded-host",
            b"x-original-url",
            b"x-http-method-override",
            b"via",
        ),
        *(
            b"baggage",
            b"accept-token",
            b"sec-session-response",
            b"sec-anything-new",
            b"x-tenant",
            b"cf-ipcountry",
        ),
    ],
)
def test_a_field_that_nobody_thought_of_is_in_the_key(name: bytes) -> None:
    assert not is_neutral(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"user-agent", b"<script>alert(1)</script>"),
        (b"user-agent", b'x" onmouseover="x'),
        (b"accept-language", b"en'--"),
        (b"referer", b"https://example.com/<svg/onload=x>"),
        (b"referer", b"javascript:alert(1)"),
        (b"x-request-id", b"${jndi:ldap://x}"),
        (b"traceparent", b"{{7*7}}"),
        (b"accept", b"a\x1b[31m"),
        (b"user-agent", b"$(id)"),
        (b"sec-ch-ua", b'"<svg onload=x>";v="8"'),
        (b"sec-ch-ua-platform", b'"{{7*7}}"'),
        (b"true-client-ip", b"<script>"),
        (b"x-client-ip", b"evil.example"),
        (b"x-forwarded-for", b"192.0.2.1, x'y"),
    ],
)
def test_a_neutral_value_that_could_break_out_of_a_page_or_log_is_suspicious(
    name: bytes, value: bytes
) -> None:
    assert is_suspicious(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            b"user-agent",
            b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36",
        ),
        (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (b"referer", b"https://www.example.com/a/b?c=d&e=%22f%22#g"),
        (b"sec-ch-ua", b'"Not A(Brand";v="8", "Chromium";v="132"'),
        (b"if-none-match", b'W/"abc", "def"'),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"referer", b""),
        (b"sec-ch-ua-full-version-list", b'"Not(A:Brand";v="99.0.0.0", "Chromium";v="133.0.6943.142"'),
        (b"x-forwarded-for", b"2001:db8::1, 192.0.2.1"),
        (b"cf-connecting-ip", b"192.0.2.1"),
    ],
)
def test_what_browsers_really_send_is_not_suspicious(name: bytes, value: bytes) -> None:
    assert not is_suspicious(name, value)


def test_the_documentation_lists_every_neutral_field() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cache.md").read_text()
    missing = [
        name.decode() for name in PUBLISHED_NEUTRAL | CLIENT_ADDRESS if f"`{name.decode()}`" not in page
    ]
    assert missing == []


def test_long_names_are_not_remembered() -> None:
    before = neutral._remembered.cache_info().misses
    for number in range(10):
        assert not neutral.is_harmless(b"x" * 300 + b"%d" % number, b"")
    assert neutral._remembered.cache_info().misses == before
