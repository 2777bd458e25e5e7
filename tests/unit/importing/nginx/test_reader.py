"""Whole nginx configurations, as people have them."""

from pathlib import Path

import pytest

from proxy.importing.draft import Draft, Notes, Outcome
from proxy.importing.errors import ImportRefusedError
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.toml_text import proxy_toml
from tests.fakes.certificates import Authority
from tests.unit.importing.nginx.conftest import Imported, SiteOf

SHOP = """
http {
    limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s;
    keepalive_timeout 65;
    client_max_body_size 20m;
    upstream shop {
        least_conn;
        server 10.0.0.5:3000 weight=3;
        server 10.0.0.6:3000 max_fails=3 fail_timeout=30s;
        server unix:/run/shop.sock backup;
        keepalive 32;
    }
    server {
        listen 80; listen [::]:80;
        server_name shop.example.com www.example.com;
        if ($host = shop.example.com) { return 301 https://$host$request_uri; }
        return 404; # managed by Certbot
    }
    server {
        listen 443 ssl http2; listen [::]:443 ssl http2;
        server_name shop.example.com;
        add_header X-Frame-Options "SAMEORIGIN" always;
        location / { try_files $uri @app; limit_req zone=one burst=20 nodelay; }
        location @app { proxy_pass http://shop; proxy_set_header Host $host; }
        location /api/ { proxy_pass http://127.0.0.1:4000/; client_max_body_size 0; proxy_read_timeout 300; }
        location ^~ /socket.io/ {
            proxy_pass http://127.0.0.1:5000;
            proxy_set_header Upgrade $http_upgrade;
            proxy_read_timeout 10h;
        }
        location /admin/ { allow 10.0.0.0/8; deny all; proxy_pass http://shop; proxy_set_header Host $http_host; }
    }
    server { listen 443 ssl; server_name www.example.com; return 301 https://shop.example.com$request_uri; }
    server { listen 80 default_server; server_name _; return 444; }
}
"""


def test_a_shop(imported: Imported) -> None:
    document, draft = imported(SHOP)
    limit = {"rate": "150/m", "burst": 150}
    assert document["timeouts"] == {"idle": "65s"}
    shop, www = document["site"]
    routes = shop.pop("route")
    assert shop == {
        "domains": ["shop.example.com"],
        "upstream": [
            {"url": "http://10.0.0.5:3000", "weight": 3},
            "http://10.0.0.6:3000",
            {"url": "unix:/run/shop.sock", "backup": True},
        ],
        "limits": {"body": "20MB"},
        "rate_limit": {"rate": "10/s", "burst": 21},
        "set_response_headers": {"X-Frame-Options": "SAMEORIGIN"},
    }
    assert routes == [
        {
            "path": "/api/",
            "upstream": "http://127.0.0.1:4000",
            "host": "upstream",
            "strip_prefix": True,
            "limits": {"body": "1024TB"},
            "rate_limit": limit,
            "timeouts": {"first_byte": "5m", "read": "5m"},
        },
        {
            "path": "/socket.io/",
            "upstream": "http://127.0.0.1:5000",
            "host": "upstream",
            "rate_limit": limit,
            "timeouts": {"first_byte": "10h", "read": "10h", "upgraded_idle": "10h"},
        },
        {"path": "/admin/", "rate_limit": limit, "firewall": {"allow": ["10.0.0.0/8"]}},
    ]
    assert www == {"domains": ["www.example.com"], "redirect": "https://shop.example.com"}
    assert [note.subject for note in draft.notes.of(Outcome.LEFT_OUT)] == ["http2", "try_files $uri @app"]


def test_whom_nginx_believes(imported: Imported) -> None:
    around = "set_real_ip_from 10.0.0.0/8; set_real_ip_from 173.245.48.0/20; real_ip_header CF-Connecting-IP;"
    text = f"{around} server {{ listen 443 ssl; server_name a.example.com; location / {{ proxy_pass http://x; }} }}"
    assert imported(text)[0]["client_ip"] == {
        "trusted": ["cloudflare", "10.0.0.0/8"],
        "header": "cf-connecting-ip",
    }


def test_ports_and_the_proxy_protocol(imported: Imported) -> None:
    text = (
        "server { listen 127.0.0.1:8080 proxy_protocol; set_real_ip_from 10.0.0.1; real_ip_header proxy_protocol;"
        "large_client_header_buffers 8 16k; server_name a.example.com; location / { proxy_pass http://x; } }"
    )
    document, _ = imported(text)
    assert document["server"] == {"http": ["127.0.0.1:8080"], "https": [], "proxy_protocol": ["10.0.0.1/32"]}
    assert document["limits"] == {"head_size": "128KB"}
    assert "client_ip" not in document


def test_a_server_for_any_name(imported: Imported) -> None:
    assert imported("server { listen 80; location / { proxy_pass http://x; } }")[0]["site"] == [
        {"domains": ["*"], "upstream": "http://x", "host": "upstream"}
    ]


def test_a_plain_server_beside_one_with_tls_stays_plain(imported: Imported) -> None:
    text = (
        "server { listen 80; server_name b.example.com; location / { proxy_pass http://x; } }"
        "server { listen 443 ssl; server_name a.example.com; location / { proxy_pass http://x; } }"
    )
    sites = imported(text)[0]["site"]
    assert [(s["domains"], s.get("tls")) for s in sites] == [
        (["a.example.com"], None),
        (["b.example.com"], {"mode": "off"}),
    ]


def test_certificates_in_files_stay_there(site: SiteOf, tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("a.example.com")
    (tmp_path / "c.pem").write_bytes(pair.chain)
    (tmp_path / "k.pem").write_bytes(pair.key)
    body = "ssl_certificate c.pem; ssl_certificate_key k.pem; location / { proxy_pass http://x; }"
    files = {"certificate": str(tmp_path / "c.pem"), "private_key": str(tmp_path / "k.pem")}
    assert site(body)["tls"] == {"mode": "files", **files}
    (tmp_path / "k.pem").write_bytes(Authority(tmp_path).pair("a.example.com").key)
    assert site(body)["tls"] == {"mode": "acme"}


def test_a_lineage_of_certbot_is_taken_over(imported: Imported, tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("a.example.com", "b.example.com")
    live = tmp_path / "etc" / "letsencrypt" / "live" / "a"
    live.mkdir(parents=True)
    (live / "fullchain.pem").write_bytes(pair.chain)
    (live / "privkey.pem").write_bytes(pair.key)
    text = (
        "server { listen 443 ssl; location / { proxy_pass http://x; }"
        "ssl_certificate /etc/letsencrypt/live/a/fullchain.pem;"
        "ssl_certificate_key /etc/letsencrypt/live/a/privkey.pem; }"
    )
    document, draft = imported(text)
    assert document["site"][0]["domains"] == ["a.example.com", "b.example.com"]
    assert "tls" not in document["site"][0]
    assert [c.chain_pem for c in draft.certificates] == [pair.chain]


def test_what_was_for_the_machine_alone_stays_so(imported: Imported) -> None:
    inner = (
        "server { listen 127.0.0.1:8080; server_name in.example.com; location / { proxy_pass http://x; } }"
    )
    outer = "server { listen 80; server_name a.example.com; location / { proxy_pass http://x; } }"
    sites = {site["domains"][0]: site for site in imported(inner + outer)[0]["site"]}
    assert sites["in.example.com"]["firewall"]["allow"] == ["127.0.0.0/8", "::1/128"]
    assert "firewall" not in sites["a.example.com"]
    assert "firewall" not in imported(inner)[0]["site"][0]


def test_files_of_a_folder_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(
        "server { listen 81; server_name a.example.com; location / { proxy_pass http://x; } }"
    )
    (tmp_path / "b.conf").write_text(
        "server { listen 80; listen 443 ssl; server_name b.example.com; location / { proxy_pass http://x; } }"
    )
    draft = Draft()
    read_nginx([tmp_path], draft)
    assert draft.document["server"] == {"http": [":81", ":80"]}
    assert [s.get("tls") for s in draft.sites] == [None, {"mode": "off"}]


def test_folders(tmp_path: Path) -> None:
    for name in "ab":
        text = (
            f"server {{ listen 80; server_name {name}.example.com; location / {{ proxy_pass http://x; }} }}"
        )
        (tmp_path / f"{name}.conf").write_text(text)
    draft = Draft()
    read_nginx([tmp_path], draft)
    assert [s["domains"] for s in draft.sites] == [["a.example.com"], ["b.example.com"]]


@pytest.mark.parametrize(
    "text", ["", "events {}", "http { }", "server { listen 80; server_name _; return 444; }"]
)
def test_nothing_to_import(imported: Imported, text: str) -> None:
    with pytest.raises(ImportRefusedError):
        imported(text)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="neither nginx"):
        read_nginx([tmp_path], Draft())


def test_what_is_written_says_what_is_missing(imported: Imported, tmp_path: Path) -> None:
    _, draft = imported(SHOP)
    text = proxy_toml(draft.document, draft.notes, "nginx x\n[server]")
    assert text.startswith("# Made by `foregate import nginx x?[server]`.\n#\n# Not carried over")
    assert f"#   {tmp_path}/nginx.conf:23: try_files $uri @app: Foregate serves no files" in text
    assert proxy_toml(draft.document, Notes(), "nginx x").count("#") == 1
