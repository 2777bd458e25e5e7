"""The kinds of values that keys take, as pydantic reads them."""

from functools import partial
from typing import Annotated, Final

from proxy.config import addresses, http_values, names, quantities, texts
from proxy.config.schema import ListenAddress, Network, Rate, UnixAddress, Upstream
from proxy.config.value import Value, pattern, whole, words

_DURATION: Final = r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+"
_SIZE: Final = pattern(r"[0-9]+(\.[0-9]+)?(B|[KMGT]i?B)")


def duration(least: float = 0.0, most: float = 10 * quantities.YEAR) -> Value:
    """Take a duration, in seconds between two bounds."""
    return Value("duration", partial(quantities.parse_duration, least=least, most=most), pattern(_DURATION))


def size(least: int = 0, most: int = 1024**5) -> Value:
    """Take a size, in octets between two bounds."""
    return Value("size", partial(quantities.parse_size, least=least, most=most), _SIZE)


def number(least: int, most: int) -> Value:
    """Take a whole number between two bounds."""
    return Value("whole number", partial(texts.parse_whole, least=least, most=most), whole(least, most))


def choice(*choices: str, ignore_case: bool = False) -> Value:
    """Take one of a few words."""
    noun = ", ".join(f'`"{word}"`' for word in choices)
    return Value(noun, partial(texts.parse_choice, choices=choices, ignore_case=ignore_case), words(*choices))


def _optional_duration(value: object) -> float | None:
    return None if value == "" else quantities.parse_duration(value)


Switch = Annotated[bool, Value("boolean", texts.parse_bool, {"type": "boolean"})]
Workers = Annotated[
    int | str,
    Value(
        '`"auto"` or whole number',
        texts.parse_workers,
        {"anyOf": [*words("auto")["anyOf"], whole(1, 1024)]},
    ),
]

# No wait may be switched off: without its deadline one silent peer would hold its connection for ever.
Wait = Annotated[float, duration(0.01, 30 * quantities.DAY)]
Duration = Annotated[float, duration()]
OptionalDuration = Annotated[float | None, Value("duration", _optional_duration, pattern(f"|{_DURATION}"))]
RateText = Annotated[Rate | None, Value("rate", quantities.parse_rate, pattern("off|[0-9]+/[smh]"))]

Text = Annotated[str, Value("string", texts.parse_text)]
Secret = Annotated[str, Value("secret string", texts.parse_secret)]
HmacKey = Annotated[str, Value("secret string", texts.parse_hmac_key)]
File = Annotated[str, Value("path of a file", texts.parse_file)]
Folder = Annotated[str, Value("path of a folder", texts.parse_folder)]
AccessLog = Annotated[str, Value('`"stdout"`, `"off"` or a path', texts.parse_access)]
User = Annotated[str, Value("user", texts.parse_user)]
Email = Annotated[str, Value("e-mail address", texts.parse_email)]
Directory = Annotated[str, Value('`"letsencrypt"`, `"letsencrypt-staging"` or a URL', texts.parse_directory)]

Listen = Annotated[ListenAddress, Value("listen address", addresses.parse_listen, pattern(".*:[0-9]{1,5}"))]
Metrics = Annotated[
    ListenAddress | None,
    Value("listen address", addresses.parse_metrics, pattern("|.*:[0-9]{1,5}")),
]
Admin = Annotated[
    ListenAddress | UnixAddress,
    Value("unix socket or listen address", addresses.parse_admin, pattern("unix:.+|.*:[0-9]{1,5}")),
]
UpstreamUrl = Annotated[
    Upstream,
    Value("upstream URL", addresses.parse_upstream, pattern("https?://[^/]+/?|unix:/.+")),
]
Cidr = Annotated[Network, Value("network", addresses.parse_network)]
Trusted = Annotated[Network | str, Value('network, `"cloudflare"` or `"private"`', addresses.parse_trusted)]
FirewallEntry = Annotated[Network | str, Value('network or `"file:PATH"`', addresses.parse_firewall_entry)]

Domain = Annotated[str, Value("domain", names.parse_domain)]
Path = Annotated[str, Value("path", http_values.parse_path, pattern("/[^?#]*"))]
Probe = Annotated[str, Value("path", http_values.parse_probe, pattern("|/.*"))]
Redirect = Annotated[str, Value("beginning of a URL", http_values.parse_redirect, pattern("|https?://.+"))]
Upgrade = Annotated[str, Value("protocol", http_values.parse_upgrade)]
SetFieldName = Annotated[str, Value("field name", http_values.parse_set_field_name)]
FieldValue = Annotated[str, Value("field value", http_values.parse_field_value)]
NeutralField = Annotated[str, Value("field name", http_values.parse_neutral_field)]
CookieGlob = Annotated[str, Value("cookie name", http_values.parse_cookie_glob)]
Parameter = Annotated[str, Value("query parameter", http_values.parse_parameter)]
