"""Who visits: readers of a page with 40 assets, users who are logged in, an API client, and a flood.

`python -m bench.visitors` runs it in front of a Foregate of its own, without a browser window; in front of another:
`locust -f bench/locustfile.py --host http://...`. Each visitor says in X-Forwarded-For which address it stands for, so
the proxy has to trust the machine that locust runs on ([client_ip] trusted).
"""

from __future__ import annotations

import itertools
import random

from locust import FastHttpUser, between, constant, task

ASSETS = 40
PAGES = 5
_addresses = itertools.count(1)


def _address(network: str) -> str:
    number = next(_addresses)
    return f"{network}.{number >> 8 & 255}.{number & 255}"


class Visitor(FastHttpUser):
    """Somebody with an address."""

    abstract = True
    network = "198.18"

    def on_start(self) -> None:
        """Take an address."""
        self.fields = {"X-Forwarded-For": _address(self.network)}

    def read(self, path: str, name: str, **fields: str) -> None:
        """Ask for something that has to be answered well."""
        self.client.get(path, name=name, headers={**self.fields, **fields})


class Reader(Visitor):
    """Reads one page after the other, each with its assets."""

    weight = 6
    wait_time = between(2, 6)

    @task
    def page(self) -> None:
        """Load a page as a browser does."""
        self.read(f"/pages/{random.randrange(PAGES)}", "page")
        for number in range(ASSETS):
            self.read(f"/assets/{number}.css", "asset")


class Member(Visitor):
    """Is logged in: sees pages and an account of its own, which nobody else may ever see."""

    weight = 3
    wait_time = between(2, 6)

    def on_start(self) -> None:
        """Log in."""
        super().on_start()
        self.session = f"{random.getrandbits(64):016x}"
        self.fields["Cookie"] = f"session={self.session}"
        self.client.post("/login", name="login", headers=self.fields, allow_redirects=False)

    @task(3)
    def page(self) -> None:
        """Read a page: it is the user's own, so the cache keeps it apart."""
        self.read(f"/pages/{random.randrange(PAGES)}", "page of a member")

    @task
    def account(self) -> None:
        """Look at the account, and make sure that it is the right one."""
        with self.client.get("/account", name="account", headers=self.fields, catch_response=True) as answer:
            if answer.status_code == 200 and self.session not in answer.text:
                answer.failure("somebody else's account")


class ApiClient(Visitor):
    """A program with a token that asks twice a second."""

    weight = 1
    wait_time = constant(0.5)

    @task(4)
    def look(self) -> None:
        """Read."""
        self.read(f"/api/items/{random.randrange(20)}", "API, read", Authorization="Bearer bench")

    @task
    def change(self) -> None:
        """Write."""
        fields = {**self.fields, "Authorization": "Bearer bench"}
        self.client.post("/api/items", name="API, write", headers=fields, json={"name": "thing"})


class Flood(Visitor):
    """Asks as fast as it can from one address; being refused is what it is for."""

    fixed_count = 2
    network = "203.0"
    wait_time = constant(0)

    @task
    def flood(self) -> None:
        """Ask, and take a refusal for an answer."""
        path = f"/pages/{random.getrandbits(32)}"
        with self.client.get(path, name="flood", headers=self.fields, catch_response=True) as answer:
            if answer.status_code == 429:
                answer.success()
