"""Listening sockets: both families, one holder per port, and one clear line when it cannot be."""

import errno
import os
import socket
from pathlib import Path

import pytest

from proxy.config.schema import Config, ListenAddress, Server, UnixAddress
from proxy.supervisor.errors import ListenError
from proxy.supervisor.listeners import Endpoint, Purpose, endpoints, open_all, open_listener


def http(host: str, port: int = 0) -> Endpoint:
    return Endpoint(Purpose.HTTP, ListenAddress(host=host, port=port))


def unix(path: Path | str) -> Endpoint:
    return Endpoint(Purpose.ADMIN, None, str(path))


def connects(host: str, port: int) -> bool:
    with socket.create_connection((host, port), 10):
        return True


def test_no_host_means_both_families() -> None:
    listener = open_listener(http(""))
    assert listener.socket.family is socket.AF_INET6
    assert connects("127.0.0.1", listener.port)
    assert connects("::1", listener.port)
    assert listener.bound == f"[::]:{listener.port}"
    listener.close()


@pytest.mark.parametrize("reason", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_no_host_means_ipv4_alone_where_ipv6_is_off(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    class WithoutIpv6(socket.socket):
        def bind(self, address: object, /) -> None:
            if self.family is socket.AF_INET6:
                raise OSError(reason, os.strerror(reason))
            super().bind(address)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    listener = open_listener(http(""))
    assert listener.socket.family is socket.AF_INET
    assert listener.bound == f"0.0.0.0:{listener.port}"
    listener.close()


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_host_is_an_address_of_its_own_family(host: str, family: socket.AddressFamily) -> None:
    listener = open_listener(http(host))
    assert listener.socket.family is family
    assert connects(host, listener.port)
    assert not listener.socket.getblocking()
    assert not listener.socket.get_inheritable()
    assert not listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    listener.close()


@pytest.mark.parametrize("second", ["127.0.0.1", ""])
def test_a_taken_port_says_so(second: str) -> None:
    first = open_listener(http("127.0.0.1"))
    with pytest.raises(ListenError, match=rf"the port is taken.*ss -ltnp 'sport = :{first.port}'"):
        open_listener(http(second, first.port))
    first.close()


def test_a_port_can_be_bound_again_at_once() -> None:
    first = open_listener(http("127.0.0.1"))
    with socket.create_connection(("127.0.0.1", first.port)) as client:
        accepted, _ = first.socket.accept()
        accepted.close()  # this side closes first, and so keeps the TIME_WAIT
        client.recv(1)
    first.close()
    open_listener(http("127.0.0.1", first.endpoint.address.port if first.endpoint.address else 0)).close()


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(
        ListenError, match=r"cannot listen on 192\.0\.2\.1:0 \(\[server\] http\).*no such address"
    ):
        open_listener(http("192.0.2.1"))


def test_all_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(ListenError):
            open_all([http("127.0.0.1"), http("127.0.0.1", other.getsockname()[1])])
        assert set(os.listdir("/proc/self/fd")) == before


def test_a_unix_socket_is_its_owners_alone(tmp_path: Path) -> None:
    listener = open_listener(unix(tmp_path / "admin.sock"))
    assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert (listener.port, listener.bound) == (0, f"unix:{tmp_path}/admin.sock")
    listener.close()
    assert not (tmp_path / "admin.sock").exists()


def test_a_unix_socket_that_nobody_answers_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = open_listener(unix(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_a_link_in_its_place_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim.sock", tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(victim))
    link.symlink_to(victim)
    listener = open_listener(Endpoint(Purpose.ADMIN, None, str(link)))
    assert victim.is_socket()
    assert not link.is_symlink()
    listener.close()


def test_a_unix_socket_that_somebody_answers_is_left_alone(tmp_path: Path) -> None:
    first = open_listener(unix(tmp_path / "admin.sock"))
    with pytest.raises(ListenError, match="another instance answers there"):
        open_listener(unix(tmp_path / "admin.sock"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "admin.sock"))
    first.close()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "admin.sock").write_text("precious")
    with pytest.raises(ListenError, match="something that is not a socket is in the way"):
        open_listener(unix(tmp_path / "admin.sock"))
    assert (tmp_path / "admin.sock").read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "cure"), [("missing/admin.sock", "does not exist; create it"), ("x" * 120, "set a shorter one")]
)
def test_a_path_that_cannot_be_says_why(tmp_path: Path, path: str, cure: str) -> None:
    with pytest.raises(ListenError, match=cure):
        open_listener(unix(tmp_path / path))


def test_endpoints_of_a_configuration() -> None:
    one, two = ListenAddress(host="", port=80), ListenAddress(host="::1", port=443)
    server = Server(http=(one,), https=(two,), metrics=None, admin=UnixAddress(path="/x/admin.sock"))
    assert list(map(str, endpoints(Config(server=server)))) == [":80", "[::1]:443", "unix:/x/admin.sock"]
    server = Server(http=(), https=(), admin=ListenAddress(host="127.0.0.1", port=9146))
    assert [endpoint.name for endpoint in endpoints(Config(server=server))] == [
        "metrics 127.0.0.1:9145",
        "admin 127.0.0.1:9146",
    ]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, f"user {os.geteuid()} may not write to /somewhere; give it the folder: chown -R"),
        (errno.EROFS, "/somewhere is read-only; mount a volume there"),
    ],
)
def test_a_storage_that_cannot_be_written_to_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(_path: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("proxy.supervisor.listeners._bind_unix", refuse)
    with pytest.raises(ListenError, match=said):
        open_listener(unix("/somewhere/admin.sock"))
