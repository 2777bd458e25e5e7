"""Any file gives a configuration or faults, never anything else; files are found where they are said to be."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from proxy.caching.layout import LARGEST, SMALLEST, region_size
from proxy.config.errors import ConfigError, Fault
from proxy.config.loader import load, parse
from proxy.config.quantities import format_size
from proxy.config.schema import Cache
from proxy.config.site_tables import Document, RouteTable, UpstreamTable
from proxy.config.unknown_keys import table_class

ROOT = Path(__file__).parents[3]
SITE = '[[site]]\ndomains = ["app.example.com"]\nupstream = "http://app:3000"\n'


def require_an_outcome(source: bytes) -> None:
    """Parse, and require that nothing but a configuration or readable faults comes of it."""
    faults: tuple[Fault, ...] = ()
    try:
        parse(source, path="proxy.toml", environ={"HOME": "/root", "BAD": "\udcff"})
    except ConfigError as error:
        faults = error.faults
        assert faults
    for fault in faults:
        assert str(fault).isprintable()
        assert len(str(fault)) < 2000
        assert fault.line is None or 1 <= fault.line <= source.count(b"\n") + 1


def test_three_lines_are_enough() -> None:
    [site] = parse(SITE.encode(), path="proxy.toml", environ={}).sites
    assert (site.name, site.tls.mode) == ("app.example.com", "acme")


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\0",
        b"\xff\xfe\x00\x00",
        b"\xef\xbb\xbf" + SITE.encode(),
        SITE.replace("\n", "\r\n").encode(),
        SITE.replace("\n", "\r").encode(),
        b"a = " + b"[" * 10_000,
        b"a = " + b"[" * 300 + b"]" * 300,
        b"a = " + b"{a = " * 200 + b"1" + b"}" * 200,
        b"a" + b".a" * 450 + b" = 1",
        b"[" + b"a." * 450 + b"a]\nx = 1",
        b"a = 0x" + b"F" * 20_000,
        b"[server]\nworkers = 0x" + b"F" * 20_000,
        b"[server]\nworkers = -9223372036854775809\nmax_connections = 1e400",
        b"[cache]\nttl = inf\nsize = -nan\nwait = 1979-05-27T07:32:00Z\ngrace = 07:32:00",
        b"[cache]\nttl = '''\n3s\n'''",
        b"site = [[], {}, 1, 'x', {domains = {}}, {domains = [[]]}, {route = {}}, {route = [[], 1]}]",
        b"[[site]]\ndomains = [{}]\nupstream = [[]]\nupgrade = {}\n[site.tls.mode]\n[site.cache.ttl.x]",
        b"[server.http]\n[[server.https]]\n[[cache]]\n[[tls.mode]]",
        b"'' = 1\n\"\\u0000\" = 2\n'site' = 3",
        b"[[site]]\ndomains = ['${HOME}', '${BAD}', '${', '$${X}', '${X:-a.de}']\nupstream = '${X:-http://a}'",
        b"x = '" + b"${" * 100_000 + b"'",
        b"x = '" + b"${A:-" * 100_000 + b"'",
        b"[[site]]\ndomains = ['"
        + b"a." * 200
        + b"a', '"
        + "ä".encode() * 5_000
        + b"']\nupstream = 'http://a'",
        b"[[site]]\ndomains = [" + b"'a.de', " * 3_000 + b"]\nupstream = 'http://a'",
        b"[[site]]\ndomains = [" + b"'-', " * 3_000 + b"]\nupstream = 'http://a'",
        b"[[site]]\n" * 2_000,
    ],
)
def test_hostile_files(source: bytes) -> None:
    require_an_outcome(source)


TABLES_OF_FILE: list[type[BaseModel]] = [Document, RouteTable, UpstreamTable]
TABLES_OF_FILE += [
    table for info in Document.model_fields.values() if (table := table_class(info.annotation))
]
ALL_KEYS = {key for table in TABLES_OF_FILE for key in table.model_fields}
KEYS = st.sampled_from([*sorted(ALL_KEYS), "xyz"])
VALUES = st.recursive(
    st.sampled_from(
        [
            *(
                "'http://a'",
                "'a.de'",
                "'*'",
                "':80'",
                "'3s'",
                "'64MB'",
                "'150/m'",
                "'off'",
                "'files'",
                "'/a/'",
                "'${HOME}'",
            ),
            *(
                "'10.0.0.0/8'",
                "'${X}'",
                "''",
                "'x'",
                "0",
                "-1",
                "1",
                "true",
                "2.5",
                "nan",
                "1979-05-27",
                "'\\n'",
                "[]",
                "{}",
            ),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=5,
)
TABLES = st.sampled_from(
    [
        "[server]",
        "[cache]",
        "[tls]",
        "[[site]]",
        "[[site.route]]",
        "[site.cache]",
        "[site.tls]",
        "[site.route.limits]",
        "[x]",
    ]
)


@given(st.lists(TABLES | st.tuples(KEYS, VALUES).map(" = ".join), max_size=14).map("\n".join))
def test_any_document_gives_a_configuration_or_faults(text: str) -> None:
    require_an_outcome(text.encode())


STRINGS = st.text(max_size=12).map(lambda text: "".join(f"\\U{ord(character):08x}" for character in text))
BEGINNINGS = st.sampled_from(
    [
        "",
        "/",
        "http://",
        "ws://",
        "unix:",
        "https://a/",
        "*.",
        "a.de:",
        "[::1]:",
        "mailto:",
        "file:",
        "${",
        "1",
        "10.0.0.0/",
    ]
)
PLACES = st.sampled_from(
    [
        *(
            "[server]\nhttp = [%s]",
            "[server]\nuser = %s",
            "[tls]\nemail = %s",
            "[tls]\ndirectory = %s",
            "[log]\nlevel = %s",
        ),
        *(
            "[cache]\nttl = %s",
            "[limits]\nbody = %s",
            "[rate_limit]\nrate = %s",
            "[client_ip]\ntrusted = [%s]",
        ),
        *(
            "[[site]]\ndomains = [%s]",
            "[[site]]\nupstream = %s",
            "[[site]]\nredirect = %s",
            "[[site.route]]\npath = %s",
        ),
        *(
            "[[site]]\nset_response_headers = {X = %s}",
            "[[site]]\nset_response_headers = {%s = 'x'}",
            "%s = 1",
            "[%s]",
        ),
        *(
            "[[site]]\nhealth = %s",
            "[[site]]\nupgrade = [%s]",
            "[cache]\nignore_cookies = [%s]",
            "[cache]\nwait = %s",
        ),
    ]
)


@settings(deadline=None)  # of a long string on a machine with other work
@given(PLACES, BEGINNINGS, STRINGS)
def test_any_string_anywhere_is_reported_readably(place: str, beginning: str, text: str) -> None:
    require_an_outcome((place % f'"{beginning}{text}"').encode())
    require_an_outcome((place % f'"{beginning}{text * 2_000}"').encode())


@given(st.binary(max_size=80))
def test_any_octets_give_a_configuration_or_faults(source: bytes) -> None:
    require_an_outcome(source)


@given(st.data())
def test_a_mutated_file_gives_a_configuration_or_faults(data: st.DataObject) -> None:
    source = bytearray((ROOT / "proxy.toml").read_bytes().replace(b"\n#   ", b"\n"))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(source)))
        end = min(len(source), start + data.draw(st.integers(0, 6)))
        source[start:end] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"[", b'"', b"\n", b" = ", b"[[site]]\n"])
        )
    require_an_outcome(bytes(source))


def test_parsing_looks_at_no_file() -> None:
    source = SITE.encode() + b'tls = {mode = "files", certificate = "/gone", private_key = "/gone"}'
    assert parse(source, path="/gone/proxy.toml", environ={}).sites[0].tls.certificate == "/gone"


def test_faults_stand_in_the_order_of_the_file(faults: Callable[..., list[Fault]]) -> None:
    found = faults("[log]\nlevel = 3\n[server]\nworkers = 0\n[cache]\nx = 1\nttl = 1", site=True)
    assert [fault.line for fault in found] == [2, 4, 6, 7]


def test_load_reads_a_file_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy.toml").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    loaded = load("proxy.toml", {})
    assert loaded.path == str(tmp_path / "proxy.toml")
    assert loaded.config.tls.storage == str(tmp_path / "ssl_data")
    assert loaded.warnings == ()
    assert load(tmp_path / "proxy.toml", {}) == loaded


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.toml", "found no such file or directory, expected a file that can be read"),
        (".", "found is a directory, expected a file that can be read"),
    ],
)
def test_load_says_why_a_file_cannot_be_read(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / name, {})
    assert said in str(caught.value)


def test_load_does_not_read_a_file_without_end() -> None:
    with pytest.raises(ConfigError, match="is this the right file"):
        load("/dev/zero", {})


def test_every_size_of_the_cache_that_is_valid_can_be_had() -> None:
    for size in (SMALLEST, LARGEST):
        assert region_size(parsed_cache(size).size) > 0
    for size in (SMALLEST // 2, LARGEST * 2):
        with pytest.raises(ConfigError, match="a size between"):
            parsed_cache(size)


def parsed_cache(size: int) -> Cache:
    source = f'[cache]\nsize = "{format_size(size)}"\n{SITE}'
    return parse(source.encode(), path="proxy.toml", environ={}).cache


def test_the_documented_file_is_valid() -> None:
    loaded = load(ROOT / "proxy.toml", {})
    assert [site.name for site in loaded.config.sites] == ["app.example.com"]
    assert loaded.warnings == ()


def test_the_documented_hints_are_valid_together() -> None:
    lines = (ROOT / "proxy.toml").read_text().split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("#   "))
    top = next(number for number, line in enumerate(lines) if "at the top of the file" in line)
    uncommented = [line.removeprefix("#").strip() for line in lines]
    text = "\n".join((*uncommented[top + 1 :], *lines[:start], *uncommented[start:top]))
    config = parse(text.encode(), path="proxy.toml", environ={})
    assert config.client_ip.trusted == ("cloudflare",)
    assert [route.path for route in config.sites[0].routes] == ["/socket.io/", ""]
    assert config.sites[0].routes[-1].cache.ttl == 0
