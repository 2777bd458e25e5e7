"""The app of the demo."""

import json

from proxy.demo.app import running_app
from proxy.demo.visitor import Visitor


def test_it_counts_requests_and_repeats_what_it_was_told() -> None:
    with running_app() as port, Visitor(port, address="127.0.0.3") as visitor:
        first, second = (json.loads(visitor.get("/a").content) for _ in range(2))
    assert second["request"] == first["request"] + 1
    assert (first["path"], first["fields"]) == ("/a", {"host": f"localhost:{port}"})
