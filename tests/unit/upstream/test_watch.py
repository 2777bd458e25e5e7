import asyncio
import contextlib

from proxy.config.schema import Config, Route, Site, Upstream
from proxy.upstream.addresses import HealthReport, UpstreamAddresses, UpstreamMessage
from proxy.upstream.watch import UpstreamWatch
from tests.fakes.dns import FakeDns


def config(*upstreams: Upstream, health: str = "") -> Config:
    route = Route(upstream=upstreams, health=health, health_interval=0.01)
    return Config(sites=(Site(domains=("a.example.com",), name="a.example.com", routes=(route,)),))


async def test_names_are_resolved_and_their_addresses_probed() -> None:
    told: asyncio.Queue[UpstreamMessage] = asyncio.Queue()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    watch = UpstreamWatch(told.put_nowait, lookup=FakeDns(app=("127.0.0.1",)))
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        watch.apply(config(Upstream(scheme="http", host="app", port=port), health="/healthz"))
        task = asyncio.create_task(watch.run())
        resolved, report = await told.get(), await told.get()
        assert resolved == UpstreamAddresses(name="app", addresses=("127.0.0.1",))
        assert isinstance(report, HealthReport)
        assert (report.key.port, report.healthy, report.reason) == (port, False, "answered 503")
        assert watch.snapshot() == (resolved, report)
        watch.apply(config(Upstream(scheme="http", host="app", port=port)))
        assert await told.get() == HealthReport(key=report.key, healthy=True, reason="no longer probed")
        assert watch.snapshot() == (resolved,)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_literals_are_probed_without_a_lookup() -> None:
    dns = FakeDns()
    watch = UpstreamWatch(lambda message: None, lookup=dns)
    watch.apply(config(Upstream(scheme="http", host="192.0.2.7", port=80), health="/healthz"))
    (report,) = watch.snapshot()
    assert isinstance(report, HealthReport)
    assert report.key.address == "192.0.2.7"
    assert not dns.asked
