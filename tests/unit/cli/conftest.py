"""The command line in this process, with its output, and an instance that gives the answers that it is to give."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.cli import main

GOOD = '[[site]]\ndomains = ["a.example.com"]\nupstream = "http://127.0.0.1:3000"\n[server]\nmetrics = "127.0.0.1:1"\n'
Run = Callable[..., tuple[int, str, str]]
Reply = tuple[int, object]
AnswerOnce = Callable[..., list[bytes]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that runs the command line and returns exit status, output and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOREGATE_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "proxy.toml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def instance(file: Path) -> Iterator[AnswerOnce]:
    """Return a function that lets the admin socket give one answer and returns what it will be asked.

    Further answers may follow, each on a connection of its own; None closes one without an answer.
    """
    (file.parent / "ssl_data").mkdir()
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(file.parent / "ssl_data" / "admin.sock"))
        listening.listen()

        def answer(status: int, document: object, *further: Reply | None) -> list[bytes]:
            request: list[bytes] = []

            def serve() -> None:
                for reply in ((status, document), *further):
                    accepted, _ = listening.accept()
                    with accepted:
                        request.append(accepted.recv(65536))
                        accepted.sendall(_written(reply))

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return request

        yield answer
        for thread in threads:
            thread.join(60)


def _written(reply: Reply | None) -> bytes:
    if reply is None:
        return b""
    content = json.dumps(reply[1])
    return f"HTTP/1.1 {reply[0]} Whatever\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()
