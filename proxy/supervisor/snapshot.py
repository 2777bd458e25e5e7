"""The configuration that is in use, in the form that workers get it."""

import time
from dataclasses import replace

from proxy.config.schema import Config, Tls
from proxy.control.channel import PackedCommand, pack
from proxy.control.messages import Configure
from proxy.supervisor.listeners import Endpoint, Listener
from proxy.supervisor.source import Loaded
from proxy.telemetry.totals import CounterLedger


class InUse:
    """What is in use now: configuration, its number, and the open listening sockets."""

    def __init__(
        self, loaded: Loaded, listeners: tuple[Listener, ...], ledger: CounterLedger, former: int = 0
    ) -> None:
        """Start with the first configuration, which is number 1 or follows the `former` program's."""
        self.listeners: dict[Endpoint, Listener] = {listener.endpoint: listener for listener in listeners}
        self.generation = former
        self._ledger = ledger
        self.use(loaded)

    @property
    def config(self) -> Config:
        """Return the configuration in use."""
        return self.loaded.config

    def use(self, loaded: Loaded) -> None:
        """Use a configuration for every worker that starts from now on."""
        self.loaded = loaded
        self.generation += 1
        self.since = time.time()
        blocks = self._ledger.assign(site.name for site in loaded.config.sites)
        self.configure: PackedCommand = pack(
            Configure(self.generation, _for_workers(loaded.config), blocks, loaded.firewalls)
        )


def _for_workers(config: Config) -> Config:
    """Leave out the secrets that are the supervisor's alone: a worker may be taken over."""
    return replace(
        config,
        server=replace(config.server, admin_token=""),
        tls=_without_account(config.tls),
        sites=tuple(replace(site, tls=_without_account(site.tls)) for site in config.sites),
    )


def _without_account(tls: Tls) -> Tls:
    return replace(tls, eab_kid="", eab_hmac_key="")
