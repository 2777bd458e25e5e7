"""What separates requests besides their own octets: the settings that made an answer, and methods in disguise."""

import pytest

from proxy.caching.identity import identify
from proxy.caching.key import compile_rules, key_space
from proxy.caching.outcomes import Reason
from proxy.config.schema import Cache, Limits, Route, Upstream

RULES = compile_rules(Cache(), bytes(range(32)))


def test_the_space_of_a_route_changes_with_what_answers_depend_on_and_with_nothing_else() -> None:
    space = key_space("a.example", Route())
    assert space == key_space("a.example", Route(limits=Limits(body=1), health="/health"))
    others = [
        key_space("b.example", Route()),
        key_space("a.example", Route(path="/x")),
        key_space("a.example", Route(upstream=(Upstream(scheme="http", host="127.0.0.1", port=1),))),
        key_space("a.example", Route(host="upstream")),
        key_space("a.example", Route(strip_prefix=True)),
        key_space("a.example", Route(set_request_headers=(("X-A", "1"),))),
        key_space("a.example", Route(set_response_headers=(("X-A", "1"),))),
        key_space("a.example", Route(cache=Cache(ttl=1.0))),
    ]
    assert len({space, *others}) == len(others) + 1


@pytest.mark.parametrize("name", [b"x-http-method", b"x-http-method-override", b"x-method-override"])
def test_a_get_that_an_app_takes_for_a_write_passes_by(name: bytes) -> None:
    assert identify(((name, b"DELETE"),), RULES, trusted=True).bypass is Reason.METHOD
    assert identify(((name, b"DELETE"),), RULES).bypass is None  # the app never gets it
