"""The rules of RFC 9111 for a shared cache, black-box: what a second request gets after a first one.

Each test names the section. Deviations are those that docs/cache.md lists.
"""

import pytest

from tests.fakes.cache_pair import Fields, Pair, http_date, new_path


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_section_4_2_2_heuristic_statuses(pair: Pair, status: int) -> None:
    pair.status = status
    # 5xx are never stored, 501 included: a deviation in the safe direction
    assert pair.second_is_stored() is (status != 501)


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 401, 403, 409, 418, 500, 502, 503])
def test_section_3_other_statuses_need_explicit_freshness(pair: Pair, status: int) -> None:
    pair.status = status
    assert not pair.second_is_stored()


@pytest.mark.parametrize("status", [302, 307, 403])
def test_section_3_explicit_freshness_makes_other_statuses_storable(pair: Pair, status: int) -> None:
    pair.status = status
    pair.fields = [("Cache-Control", "max-age=60")]
    assert pair.second_is_stored()


@pytest.mark.parametrize(
    "fields",
    [
        [("Cache-Control", "no-store")],
        [("Cache-Control", "NO-STORE")],
        [("Cache-Control", "max-age=60, no-store")],
        [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")],
        [("Cache-Control", "no-cache")],
        [("Cache-Control", 'no-cache="x"')],
        [("Cache-Control", "private")],
        [("Cache-Control", 'private="x"')],
        [("Cache-Control", "max-age=0")],
        [("Cache-Control", "s-maxage=0, max-age=60")],
        [("Expires", "0")],
        [("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
        [("Set-Cookie", "a=b")],
        [("Vary", "*")],
        [("Vary", "accept, *")],
        [("Content-Range", "bytes 0-3/10")],
        [("Age", "100"), ("Cache-Control", "max-age=60")],
        [("Date", http_date(-100)), ("Cache-Control", "max-age=60")],
    ],
    ids=lambda fields: "; ".join(f"{n}: {v}" for n, v in fields)[:60],
)
def test_section_5_2_2_not_stored_or_not_fresh(pair: Pair, fields: Fields) -> None:
    pair.fields = fields
    assert not pair.second_is_stored()


@pytest.mark.parametrize(
    "fields",
    [
        [("Cache-Control", "max-age=60")],
        [("Cache-Control", "public")],
        [("Cache-Control", "s-maxage=60, max-age=0")],
        [("Cache-Control", "max-age=99999999999999999999")],
        [("Cache-Control", "max-age=60, must-understand-nothing")],
        [("Cache-Control", "immutable, must-revalidate, max-age=60")],
        [("Expires", http_date(86_400))],
        [("Cache-Control", "max-age=60"), ("Expires", "0")],
        [("Age", "1"), ("Cache-Control", "max-age=60")],
    ],
    ids=lambda fields: "; ".join(f"{n}: {v}" for n, v in fields)[:60],
)
def test_section_5_2_2_stored_and_fresh(pair: Pair, fields: Fields) -> None:
    pair.fields = fields
    assert pair.second_is_stored()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_section_3_only_get_is_stored(pair: Pair, method: str) -> None:
    pair.fields = [("Cache-Control", "max-age=60")]
    pair.ask(method)
    assert pair.ask().outcome == "MISS"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "UNKNOWN"])
def test_section_4_4_an_unsafe_request_invalidates_its_target(pair: Pair, method: str) -> None:
    pair.ask()
    pair.ask(method)
    assert pair.ask().outcome != "HIT"


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("status", [400, 404, 500])
def test_section_4_4_more_than_the_rfc_asks_even_a_failed_write_invalidates(
    pair: Pair, method: str, status: int
) -> None:
    pair.ask()
    pair.status = status
    pair.ask(method)
    pair.status = 200
    assert pair.ask().outcome != "HIT"


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_section_4_4_a_safe_request_invalidates_nothing(pair: Pair, method: str) -> None:
    pair.ask()
    pair.ask(method)
    assert pair.ask().outcome == "HIT"


@pytest.mark.parametrize("pointer", ["Location", "Content-Location"])
def test_section_4_4_same_host_pointers_of_a_write_are_invalidated(pair: Pair, pointer: str) -> None:
    pair.ask()
    listed = pair.path
    pair.fields = [(pointer, listed)]
    pair.path = new_path()
    pair.ask("POST")
    pair.path, pair.fields = listed, []
    assert pair.ask().outcome != "HIT"


def test_section_4_4_pointers_to_another_host_are_not(pair: Pair) -> None:
    pair.ask()
    listed = pair.path
    pair.fields = [("Location", f"http://other.example{listed}")]
    pair.path = new_path()
    pair.ask("POST")
    pair.path, pair.fields = listed, []
    assert pair.ask().outcome == "HIT"


@pytest.mark.parametrize(
    ("vary", "first", "second", "stored"),
    [
        ("Accept-Language", {"Accept_Language": "de"}, {"Accept_Language": "de"}, True),
        ("Accept-Language", {"Accept_Language": "de"}, {"Accept_Language": "en"}, False),
        ("Accept-Language", {"Accept_Language": "de"}, {}, False),
        ("accept-language", {"Accept_Language": "de,  en"}, {"Accept_Language": "de, en"}, True),
        ("User-Agent", {"User_Agent": "a"}, {"User_Agent": "b"}, False),
        ("Accept-Encoding", {"Accept_Encoding": "gzip, br"}, {"Accept_Encoding": "br;q=1,gzip"}, True),
        ("Accept-Encoding", {"Accept_Encoding": "gzip"}, {"Accept_Encoding": "identity"}, False),
    ],
)
def test_section_4_1_vary(
    pair: Pair, vary: str, first: dict[str, str], second: dict[str, str], stored: bool
) -> None:
    pair.fields = [("Vary", vary)]
    assert pair.second_is_stored(first, second) is stored


def test_section_4_1_variants_are_kept_beside_each_other(pair: Pair) -> None:
    pair.fields = [("Vary", "Accept-Language")]
    for language in ("de", "en", "fr"):
        pair.ask(Accept_Language=language)
    outcomes = [pair.ask(Accept_Language=lang).outcome for lang in ("de", "en", "fr")]
    assert outcomes == ["HIT"] * 3


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "X-Anything-New"])
def test_section_3_5_what_may_name_a_user_is_part_of_the_key(pair: Pair, name: str) -> None:
    name = name.replace("-", "_")
    assert not pair.second_is_stored({name: "alice"}, {name: "bob"})
    assert pair.ask(**{name: "alice"}).outcome == "HIT"


def test_section_5_2_2_7_private_answers_are_kept_for_their_user_alone(pair: Pair) -> None:
    pair.fields = [("Cache-Control", "private")]
    assert pair.second_is_stored({"Cookie": "session=a"})
    assert pair.ask(Cookie="session=b").outcome != "HIT"


@pytest.mark.parametrize("directive", ["no-cache", "no-store", "max-age=0", "min-fresh=99", "only-if-cached"])
def test_section_5_2_1_a_clients_directives_are_advice_that_is_not_taken(pair: Pair, directive: str) -> None:
    assert pair.second_is_stored({}, {"Cache_Control": directive})


def test_section_5_1_age_is_told_and_counts_from_the_origin(pair: Pair) -> None:
    pair.fields = [("Age", "7"), ("Cache-Control", "max-age=60")]
    pair.ask()
    assert int(pair.ask().one("Age")) >= 7


def test_section_5_1_date_is_that_of_the_stored_response(pair: Pair) -> None:
    pair.fields = [("Date", http_date(-2))]
    first, second = pair.ask(), pair.ask()
    assert second.one("Date") == first.one("Date") == pair.fields[0][1]


def test_section_4_3_2_if_none_match(pair: Pair) -> None:
    pair.fields = [("ETag", '"x"')]
    pair.ask()
    assert pair.ask(If_None_Match='"x"').status == 304
    assert pair.ask(If_None_Match='W/"x"').status == 304
    assert pair.ask(If_None_Match="*").status == 304
    assert pair.ask(If_None_Match='"y"').status == 200


def test_section_4_3_2_if_modified_since(pair: Pair) -> None:
    modified = http_date(-1000)
    pair.fields = [("Last-Modified", modified)]
    pair.ask()
    assert pair.ask(If_Modified_Since=modified).status == 304
    assert pair.ask(If_Modified_Since=http_date(-2000)).status == 200
    assert pair.ask(If_Modified_Since=modified, If_None_Match='"z"').status == 200


def test_section_4_a_head_is_answered_from_a_get_but_not_the_other_way_round(pair: Pair) -> None:
    assert pair.ask("HEAD").outcome == "MISS"
    assert pair.ask().outcome == "MISS"
    assert pair.ask("HEAD").outcome == "HIT"


def test_rfc9110_section_14_ranges_come_from_a_stored_whole(pair: Pair) -> None:
    pair.ask()
    response = pair.ask(Range="bytes=-3")
    assert (response.status, response.content) == (206, b"r 1")
    assert pair.ask(Range="bytes=100-").status == 416
    assert pair.ask(Range="lines=1-2").status == 200


def test_section_2_query_and_host_and_case_of_the_path_are_part_of_the_key(pair: Pair) -> None:
    pair.ask()
    first = pair.path
    pair.path = first + "?a=1"
    assert pair.ask().outcome == "MISS"
    pair.path = first
    assert pair.ask(Host="b.example").outcome == "MISS"
