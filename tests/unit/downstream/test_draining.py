"""Taking leave of clients: who is waited for, and for how long."""

import asyncio
import socket

from tests.fakes.gateway import Gateway, configuration, until
from tests.fakes.origin import Origin, OriginResponse

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def site(origin: Origin) -> str:
    return f'domains = ["*"]\nupstream = "{origin.url}"'


async def test_a_drain_that_is_begun_anew_with_less_time_ends_after_that() -> None:
    async with Origin() as origin:
        never = asyncio.Event()
        origin.answer = lambda _request: OriginResponse(wait=never)
        async with Gateway(configuration(site(origin))) as gateway:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(REQUEST)
            await until(lambda: origin.requests)
            gateway.plane.stop_accepting()
            patient = asyncio.create_task(gateway.plane.drain(3600.0))
            await asyncio.sleep(0)
            patient.cancel()
            await asyncio.wait([patient])
            assert gateway.plane.active() == 1
            await gateway.plane.drain(0.0)
            await until(lambda: gateway.plane.active() == 0)
            writer.close()
        never.set()


async def test_what_waits_in_the_backlog_is_taken_before_the_socket_is_closed() -> None:
    async with Origin() as origin, Gateway(configuration(site(origin))) as gateway:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            client.setblocking(False)  # established by the kernel; the loop has not had a turn to accept it
            gateway.plane.stop_accepting()
            drained = loop.create_task(gateway.plane.drain(3600.0))
            await loop.sock_sendall(client, REQUEST)
            answer = b""
            while piece := await loop.sock_recv(client, 65536):
                answer += piece
            assert answer.endswith(b"hello from the origin")
            await drained
        assert await gateway.leftovers() == []
