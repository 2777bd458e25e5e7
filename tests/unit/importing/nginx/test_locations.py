"""What becomes of each directive of a server and its locations."""

from typing import Any

import pytest

from proxy.importing.draft import Outcome
from tests.unit.importing.nginx.conftest import NotesOf, SiteOf

CLOSED = {"deny": ["0.0.0.0/0", "::/0"]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("location / { proxy_pass http://app:3000; }", {"upstream": "http://app:3000", "host": "upstream"}),
        (
            "location / { proxy_pass http://app:3000/; proxy_set_header Host $host; }",
            {"upstream": "http://app:3000"},
        ),
        (
            "location / { proxy_pass https://app$request_uri; proxy_ssl_name app.internal; }",
            {"upstream": "https://app", "host": "upstream", "upstream_server_name": "app.internal"},
        ),
        (
            "set $app app; location / { set $port 81; proxy_pass http://$app:${port}; }",
            {"upstream": "http://app:81", "host": "upstream"},
        ),
        (
            "location / { proxy_pass http://unix:/run/a.sock:/; }",
            {"upstream": "unix:/run/a.sock", "host": "upstream"},
        ),
        (
            "location / { proxy_pass http://x; proxy_set_header X-A 'b ${c'; proxy_set_header Accept-Encoding ''; }",
            {"upstream": "http://x", "host": "upstream", "set_request_headers": {"Accept-Encoding": ""}},
        ),
        (
            "location / { proxy_pass http://x; proxy_hide_header X-Powered-By; add_header A b; }",
            {
                "upstream": "http://x",
                "host": "upstream",
                "set_response_headers": {"X-Powered-By": "", "A": "b"},
            },
        ),
        (
            "location / { proxy_pass http://x; proxy_cache z; proxy_cache_valid 200 302 10m; }",
            {"upstream": "http://x", "host": "upstream", "cache": {"ttl": "10m"}},
        ),
        (
            "location / { proxy_pass http://x; client_body_timeout 1m30s; send_timeout 2m; proxy_connect_timeout 5; }",
            {
                "upstream": "http://x",
                "host": "upstream",
                "timeouts": {"body": "90s", "send": "2m", "connect": "5s"},
            },
        ),
        (
            "location / { return 302 https://b.example.com$request_uri; }",
            {"redirect": "https://b.example.com"},
        ),
        ("return 301 $scheme://b.example.com$request_uri;", {"redirect": "https://b.example.com"}),
        (
            "ssl_protocols TLSv1.3; location / { proxy_pass http://x; }",
            {"upstream": "http://x", "host": "upstream", "tls": {"min_version": "1.3"}},
        ),
    ],
)
def test_a_site(site: SiteOf, body: str, expected: dict[str, Any]) -> None:
    assert site(body) == expected


@pytest.mark.parametrize(
    ("location", "route"),
    [
        ("/b/ { proxy_pass http://y; }", {"path": "/b/", "upstream": "http://y"}),
        ("/b/ { proxy_pass http://y/b/; }", {"path": "/b/", "upstream": "http://y"}),
        ("/b/ { proxy_pass http://y/; }", {"path": "/b/", "upstream": "http://y", "strip_prefix": True}),
        (
            "/b/ { rewrite ^/b/(.*)$ /$1 break; proxy_pass http://y; }",
            {"path": "/b/", "upstream": "http://y", "strip_prefix": True},
        ),
        ("~ ^/b/ { proxy_pass http://y; }", {"path": "/b/", "upstream": "http://y"}),
        ("= /b { proxy_pass http://y; }", {"path": "/b", "upstream": "http://y"}),
        ("/b/ { proxy_pass http://x; auth_basic B; }", {"path": "/b/", "firewall": CLOSED}),
        ("/b/ { root /srv; auth_basic B; }", {"path": "/b/", "firewall": CLOSED}),
        ("/b/ { internal; alias /srv/; }", {"path": "/b/", "firewall": CLOSED}),
        ("/b/ { deny all; }", {"path": "/b/", "firewall": CLOSED}),
        ("/b/ { return 404; }", {"path": "/b/", "firewall": CLOSED}),
        (
            "/b/ { return 301 https://y.example.com$request_uri; }",
            {"path": "/b/", "redirect": "https://y.example.com"},
        ),
        ("/b/ { proxy_pass http://x; auth_basic off; gzip off; }", None),
        ("/b/ { root /srv; }", None),
        ("/b/ { return 200 ok; }", None),
        ("~ \\.php$ { fastcgi_pass y:9000; }", None),
        ("/.well-known/acme-challenge/ { root /srv; }", None),
    ],
)
def test_a_location(site: SiteOf, location: str, route: dict[str, Any] | None) -> None:
    found = site(f"location / {{ proxy_pass http://x; }} location {location}")
    assert found.get("route", []) == ([] if route is None else [route])


def test_what_counts_at_the_front_page_does_not_count_elsewhere(site: SiteOf) -> None:
    found = site(
        "location / { proxy_pass http://x; proxy_set_header Host $host; client_max_body_size 1m; auth_basic A; }"
        "location /b/ { proxy_pass http://x; } location ~ ^/(c|d)/ { proxy_pass http://y; }",
    )
    assert found["firewall"] == CLOSED | {"allow": []}
    default = {"host": "upstream", "limits": {"body": "100MB"}, "firewall": {"deny": []}}
    assert found["route"] == [
        {"path": "/b/", **default},
        {"path": "/c/", "upstream": "http://y", **default},
        {"path": "/d/", "upstream": "http://y", **default},
    ]


def test_what_is_sent_to_one_app_is_not_sent_to_another(site: SiteOf) -> None:
    found = site(
        "location / { proxy_pass http://x; proxy_set_header X-Key secret; }"
        "location /b/ { proxy_pass http://y; proxy_set_header X-Other o; }"
    )
    assert found["set_request_headers"] == {"X-Key": "secret"}
    assert found["route"][0]["set_request_headers"] == {"X-Key": "", "X-Other": "o"}


@pytest.mark.parametrize(
    ("first", "second", "is_closed"),
    [
        ("= /b { proxy_pass http://y; }", "/b/ { proxy_pass http://y; deny all; }", True),
        ("/b { proxy_pass http://y; auth_basic B; }", "= /b/ { proxy_pass http://y; }", True),
        ("= /b { proxy_pass http://y; }", "/b/ { proxy_pass http://z; }", False),
    ],
)
def test_of_two_locations_with_one_prefix_none_is_opened(
    site: SiteOf, first: str, second: str, is_closed: bool
) -> None:
    (route,) = site(f"location / {{ proxy_pass http://x; }} location {first} location {second}")["route"]
    assert (route.get("firewall") == CLOSED) == is_closed
    assert route["upstream"] == "http://y"


def test_a_site_of_files_with_an_api_is_closed_but_for_the_api(site: SiteOf) -> None:
    found = site("root /srv; location /api/ { proxy_pass http://x; } location / { try_files $uri =404; }")
    assert found["firewall"] == CLOSED | {"allow": []}
    assert found["route"][0]["firewall"] == {"deny": []}


@pytest.mark.parametrize(
    ("condition", "is_closed"),
    [
        ("$http_x_secret != abc) { return 403; }", True),
        ("$ssl_client_verify != SUCCESS) { return 403; }", True),
        ('$http_authorization = "") { return 401; }', True),
        ("$remote_addr !~ ^10\\.) { return 444; }", True),
        ("$allowed = 0) { return 403; }", True),
        ("$allowed != 1) { set $x 1; }", False),
        ("$request_method !~ ^(GET|HEAD|POST)$ ) { return 405; }", False),
        ("$host != a.example.com) { return 404; }", False),
        ("$http_user_agent ~* bot) { return 403; }", False),
        ("$blocked) { return 403; }", False),
    ],
)
def test_conditions_that_admit_only_some_are_closed(site: SiteOf, condition: str, is_closed: bool) -> None:
    found = site(f"if ({condition} location / {{ proxy_pass http://x; }}")
    assert ("firewall" in found) == is_closed


@pytest.mark.parametrize("guard", ["satisfy any; auth_basic B;", "auth_basic B; satisfy any;"])
def test_either_an_address_or_a_password_leaves_the_address(site: SiteOf, guard: str) -> None:
    found = site(f"location / {{ proxy_pass http://x; allow 10.0.0.0/8; deny all; {guard} }}")
    assert found["firewall"] == {"allow": ["10.0.0.0/8"], "deny": []}


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ("gzip on;", "nginx.conf:2: gzip on: Foregate does not compress yet; the app may"),
        ("error_page 404 /404.html;", "nginx.conf:2: error_page 404 /404.html: Foregate serves no files"),
        ("some_module on;", "nginx.conf:2: some_module on: Foregate has nothing like it"),
        (
            "if ($arg_x) { return 403; }",
            "nginx.conf:2: if ($arg_x) { return 403 }: Foregate has no conditions",
        ),
        ("client_max_body_size lots;", 'nginx.conf:2: client_max_body_size lots: "lots" is not a size'),
        ("add_header X;", "nginx.conf:2: add_header X: it lacks an argument"),
        (
            "proxy_set_header X $cookie_x;",
            "nginx.conf:2: proxy_set_header X $cookie_x: the variable $cookie_x",
        ),
        ("limit_req zone=none;", "nginx.conf:2: limit_req zone=none: there is no limit_req_zone"),
        (
            "server_name *.b.example.com;",
            "nginx.conf:2: server_name *.b.example.com: Foregate has exact names",
        ),
        (
            "proxy_set_header X-Forwarded-Proto https; proxy_set_header Host $host;",
            "nginx.conf:2: proxy_set_header X-Forwarded-Proto https: Foregate sets it from what it sees",
        ),
        ("listen unix:/run/n.sock;", "nginx.conf:2: listen unix:/run/n.sock: Foregate listens on TCP ports"),
        (
            "ssl_certificate /no/c.pem; ssl_certificate_key /no/k.pem;",
            "nginx.conf:2: ssl_certificate /no/c.pem",
        ),
        (
            "location ~ \\.git { deny all; }",
            "nginx.conf:2: location ~ \\.git: Foregate has prefixes, no patterns",
        ),
        ("add_header X 'a\u00e9';", "site[0].set_response_headers.X (a.example.com): "),
        ("location /a%zz { proxy_pass http://x; }", "nginx.conf:2: location /a%zz: expected a path"),
    ],
)
def test_nothing_is_dropped_in_silence(notes_of: NotesOf, body: str, note: str) -> None:
    assert any(line.startswith(note) for line in notes_of(body, Outcome.LEFT_OUT))


@pytest.mark.parametrize(
    "body", ["sendfile on;", "proxy_buffering off;", "ssl_ciphers HIGH;", "resolver 9.9.9.9;"]
)
def test_what_needs_no_key_is_told(notes_of: NotesOf, body: str) -> None:
    assert any(line.startswith(body.split()[0]) for line in notes_of(body, Outcome.NEEDLESS))


def test_a_rewrite_that_strips_its_prefix_is_carried_over(notes_of: NotesOf) -> None:
    rewrite = "rewrite ^/b/(.*)$ /$1 break;"
    assert notes_of(f"location /b/ {{ {rewrite} proxy_pass http://y; }}", Outcome.LEFT_OUT) == []
    assert len(notes_of(f"location /c/ {{ {rewrite} proxy_pass http://y; }}", Outcome.LEFT_OUT)) == 1
    again = rewrite.replace("break", "last")
    assert len(notes_of(f"location /b/ {{ {again} proxy_pass http://y; }}", Outcome.LEFT_OUT)) == 1


@pytest.mark.parametrize(
    ("location", "is_open"),
    [
        ("~ \\.pdf$ { auth_basic x; proxy_pass http://x; }", True),
        ("= / { auth_basic x; proxy_pass http://x; }", True),
        ("~ /\\.(git|env) { deny all; }", True),
        ("~ /\\.ht { return 404; }", True),
        ("~ \\.pdf$ { if ($http_x_secret != a) { return 403; } proxy_pass http://x; }", True),
        ("~ \\.pdf$ { auth_basic off; proxy_pass http://x; }", False),
        ("~ \\.pdf$ { proxy_pass http://x; }", False),
        ("~ ^/b/ { deny all; }", False),
        ("/b/ { auth_basic x; proxy_pass http://x; }", False),
    ],
)
def test_what_no_route_can_close_is_said_to_be_open(notes_of: NotesOf, location: str, is_open: bool) -> None:
    notes = notes_of(f"location {location}", Outcome.LEFT_OUT)
    assert any("OPEN NOW" in note for note in notes) == is_open


@pytest.mark.parametrize(
    ("location", "cases"),
    [("~* ^/admin/", ["/ADMIN"]), ("~ ^/admin/", []), ("~* ^/1/", []), ("~* ^/(1|b)/", ["/B"])],
)
def test_other_cases_are_told(notes_of: NotesOf, location: str, cases: list[str]) -> None:
    assert notes_of(f"location {location} {{ deny all; }}", Outcome.LEFT_OUT) == [
        f"nginx.conf:2: location {location}: only in this spelling: other cases ({case}) are treated as the rest "
        "of the site"
        for case in cases
    ]
