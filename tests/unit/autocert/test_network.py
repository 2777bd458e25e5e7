"""The library's network layer with its faults put right; each trap of the library has its test here."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from autocert.connection import Connection
from autocert.errors import ReplyError, SettingsError, Unreachable, UnreachableError
from autocert.replies import Order
from autocert.threads import LeftBehindError, Threads
from tests.fakes.acme_ca import FakeCa, Reply, refusal
from tests.fakes.certificates import Authority
from tests.fakes.ports import free_port

T = TypeVar("T")


@pytest.fixture
async def ca() -> AsyncIterator[FakeCa]:
    async with FakeCa(renewal_information=True) as found:
        yield found


def connection(ca: FakeCa, seconds: float = 60.0, ca_file: str = "") -> Connection:
    found = Connection(ca.directory, ca_file, ec.generate_private_key(ec.SECP256R1()))
    found.allow(seconds)
    return found


async def call(function: Callable[[], T], seconds: float = 90.0) -> T:
    return await Threads().run(function, seconds)


def registered(found: Connection) -> Connection:
    found.register("", "", "")
    return found


async def test_eight_rejected_nonces_are_survived(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    ca.rejected_nonces = 8
    order = await call(lambda: found.new_order(("a.example.com",), "", ""))
    assert order.status == "pending"


async def test_the_rejection_s_own_nonce_is_used(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    before = ca.count("newNonce")
    ca.rejected_nonces = 5
    await call(lambda: found.new_order(("a.example.com",), "", ""))
    assert ca.count("newNonce") == before


async def test_a_ca_that_rejects_every_nonce_is_given_up(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    ca.rejected_nonces = 1000
    with pytest.raises(ReplyError) as caught:
        await call(lambda: found.new_order(("a.example.com",), "", ""))
    assert caught.value.document.code == "badNonce"


async def test_a_refusal_keeps_retry_after_and_document(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    ca.script["newOrder"] = [refusal("rateLimited", "too many", 429, Retry_After="3600")]
    with pytest.raises(ReplyError) as caught:
        await call(lambda: found.new_order(("a.example.com",), "", ""))
    assert caught.value.retry_after == 3600
    assert (caught.value.document.code, caught.value.document.status) == ("rateLimited", 429)


async def test_an_html_page_with_503_keeps_its_retry_after(ca: FakeCa) -> None:
    ca.script["directory"] = [
        Reply(503, b"<html>down for maintenance", {"Content-Type": "text/html", "Retry-After": "120"})
    ]
    with pytest.raises(ReplyError) as caught:
        await call(connection(ca).directory)
    assert (caught.value.document.status, caught.value.retry_after) == (503, 120)


async def test_503_for_a_nonce_keeps_its_retry_after(ca: FakeCa) -> None:
    ca.script["newNonce"] = [Reply(503, b"busy", {"Retry-After": "7"})]
    with pytest.raises(ReplyError) as caught:
        await call(lambda: registered(connection(ca)))
    assert caught.value.retry_after == 7


async def test_a_dripping_body_ends_at_the_deadline(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(200, {"x": "y" * 5000}, drip=0.02)]
    began = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        await call(connection(ca, seconds=1.0).directory)
    assert caught.value.reason is Unreachable.SLOW
    assert time.monotonic() - began < 60  # and not 100, as long as it drips


async def test_a_dripping_head_is_left_behind(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(200, {}, {"X-Long": "y" * 5000}, drip=0.01)]
    with pytest.raises((LeftBehindError, UnreachableError)):
        await call(connection(ca, seconds=0.2).directory, seconds=0.4)


async def test_a_hanging_directory_ends_at_the_deadline(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(hang=True)]
    with pytest.raises(UnreachableError) as caught:
        await call(connection(ca, seconds=0.2).directory)
    assert caught.value.reason is Unreachable.SLOW


async def test_a_body_without_end_is_bounded(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(200, b" " * (2 << 20))]
    with pytest.raises(UnreachableError, match="too large"):
        await call(connection(ca).directory)


async def test_a_body_that_is_cut_off_is_no_answer(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(200, b"{}", {"Content-Length": "100", "Connection": "close"}, cut=True)]
    with pytest.raises(UnreachableError):
        await call(connection(ca).directory)


async def test_redirects_are_not_followed(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(302, b"", {"Location": ca.directory})]
    with pytest.raises(ReplyError, match="302"):
        await call(connection(ca).directory)
    assert ca.count("directory") == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'"text"', b'{"newOrder": 7}', b"\xff\xfe"])
async def test_what_is_no_directory_is_said_so(ca: FakeCa, content: bytes) -> None:
    ca.script["directory"] = [Reply(200, content)]
    with pytest.raises(UnreachableError) as caught:
        await call(connection(ca).directory)
    assert caught.value.reason is Unreachable.NOT_ACME


async def test_nobody_listens() -> None:
    found = Connection(f"http://127.0.0.1:{free_port()}/dir", "", ec.generate_private_key(ec.SECP256R1()))
    found.allow(5)
    with pytest.raises(UnreachableError) as caught:
        await call(found.directory)
    assert caught.value.reason is Unreachable.REFUSED


async def test_a_name_that_does_not_resolve() -> None:
    found = Connection("https://ca.invalid/dir", "", ec.generate_private_key(ec.SECP256R1()))
    found.allow(10)
    with pytest.raises(UnreachableError) as caught:
        await call(found.directory)
    assert caught.value.reason in {Unreachable.DNS, Unreachable.SLOW}


async def test_the_environment_sets_neither_proxy_nor_trust(
    ca: FakeCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert await call(connection(ca).directory)
    assert "NO_PROXY" not in os.environ


async def test_a_missing_trust_file_is_a_setting_to_correct() -> None:
    found = Connection("https://127.0.0.1:1/dir", "/nonexistent.pem", ec.generate_private_key(ec.SECP256R1()))
    found.allow(5)
    with pytest.raises(SettingsError, match=r"/nonexistent\.pem"):
        await call(found.directory)


async def test_a_ca_does_not_lead_us_off_https(ca: FakeCa) -> None:
    found = Connection("https://127.0.0.1:1/dir", "", ec.generate_private_key(ec.SECP256R1()))
    found.allow(5)
    order = Order(
        url=f"{ca.directory}/order/1",
        status="pending",
        authorizations=(),
        finalize="",
        certificate="",
        error=None,
        retry_after=None,
    )
    found._directory = await call(connection(ca).directory)
    with pytest.raises(UnreachableError, match="without https"):
        await call(lambda: found.order(order.url))


async def test_the_order_names_what_it_replaces_and_its_profile(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    await call(lambda: found.new_order(("a.example.com",), "shortlived", "aki.serial"))
    assert ca.last("newOrder") == {
        "identifiers": [{"type": "dns", "value": "a.example.com"}],
        "profile": "shortlived",
        "replaces": "aki.serial",
    }
    await call(lambda: found.new_order(("a.example.com", "192.0.2.1"), "", ""))
    assert ca.last("newOrder") == {
        "identifiers": [{"type": "dns", "value": "a.example.com"}, {"type": "ip", "value": "192.0.2.1"}]
    }


async def test_an_address_is_sent_only_when_given(ca: FakeCa) -> None:
    await call(lambda: connection(ca).register("", "", ""))
    assert ca.last("newAccount") == {"termsOfServiceAgreed": True}
    await call(lambda: connection(ca).register("me@example.com", "", ""))
    assert ca.last("newAccount") == {"termsOfServiceAgreed": True, "contact": ["mailto:me@example.com"]}


async def test_addresses_are_changed_and_taken_away(ca: FakeCa) -> None:
    found = await call(lambda: registered(connection(ca)))
    await call(lambda: found.update_contact(("me@example.com", "you@example.com")))
    assert ca.last("account") == {"contact": ["mailto:me@example.com", "mailto:you@example.com"]}
    await call(lambda: found.update_contact(()))
    assert ca.last("account") == {"contact": []}
    with pytest.raises(SettingsError):
        connection(ca).update_contact(())


async def test_an_account_that_exists_is_used(ca: FakeCa) -> None:
    first = await call(lambda: connection(ca).register("", "", ""))
    second = await call(lambda: connection(ca).register("", "", ""))
    assert first == second


async def test_an_external_account_is_bound(ca: FakeCa) -> None:
    await call(lambda: connection(ca).register("", "kid-1", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"))
    assert set(ca.last("newAccount")["externalAccountBinding"]) == {"protected", "payload", "signature"}


async def test_a_wrong_external_key_is_a_setting_to_correct(ca: FakeCa) -> None:
    with pytest.raises(SettingsError, match="eab_hmac_key"):
        await call(lambda: connection(ca).register("", "kid-1", "é"))


async def test_renewal_information(ca: FakeCa) -> None:
    ca.window = lambda ident: ("2026-11-16T12:00:00Z", "2026-11-17T12:00:00Z")
    ca.window_headers = {"Retry-After": "21600"}
    window, retry_after = await call(lambda: connection(ca).renewal_information("aki.serial"))
    assert window is not None
    assert window.end - window.start == 86400
    assert retry_after == 21600


@pytest.mark.parametrize("kind", ["newOrder", "order", "authorization"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"status": "strange"}', b'{"challenges": 7}'])
async def test_replies_that_make_no_sense_are_errors_of_ours(ca: FakeCa, kind: str, content: bytes) -> None:
    found = await call(lambda: registered(connection(ca)))
    ca.script[kind] = [Reply(200, content or b" ", {"Location": "x"})]
    calls: dict[str, Callable[[], object]] = {
        "newOrder": lambda: found.new_order(("a.example.com",), "", ""),
        "order": lambda: found.order(f"{ca.directory[: -len('/directory')]}/order/1"),
        "authorization": lambda: found.authorization(
            f"{ca.directory[: -len('/directory')]}/authorization/1/a"
        ),
    }
    with pytest.raises((ReplyError, UnreachableError)):
        await call(calls[kind])


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_private_ca_of_any_form_is_trusted_when_it_is_named(tmp_path: Path, is_named: bool) -> None:
    authority = Authority(tmp_path)  # it has no key usage, which Python 3.13 would object to

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", ssl=authority.server_context("localhost"))
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/directory"
        ca_file = str(authority.ca_file) if is_named else ""
        found = Connection(url, ca_file, ec.generate_private_key(ec.SECP256R1()))
        found.allow(10.0)
        with pytest.raises(UnreachableError) as caught:
            await call(found.begin)
    assert caught.value.reason is (Unreachable.NOT_ACME if is_named else Unreachable.UNTRUSTED)


def test_the_library_is_imported_late(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys, autocert.manager; print([m for m in ('acme', 'requests', 'dns') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "acme"})
    assert found.stdout.strip() == "[]"


async def test_the_loop_goes_on_while_a_ca_hangs(ca: FakeCa) -> None:
    ca.script["directory"] = [Reply(hang=True)]
    task = asyncio.create_task(call(connection(ca, seconds=1.0).directory))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    with pytest.raises(UnreachableError):
        await task
