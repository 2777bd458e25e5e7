"""The supervisor's side of the upstreams: resolve their names, probe their addresses, tell the workers."""

import asyncio
from collections.abc import Callable

from proxy.config.schema import Config
from proxy.upstream.addresses import TargetKey, UpstreamAddresses, UpstreamMessage
from proxy.upstream.probe import HealthClient, Prober
from proxy.upstream.resolver import Resolver, system_lookup
from proxy.upstream.targets import health_check, target_keys, upstream_addresses


class UpstreamWatch:
    """Watches all upstreams of the current configuration and publishes what changes."""

    def __init__(
        self,
        publish: Callable[[UpstreamMessage], None],
        *,
        lookup: Callable[[str], tuple[str, ...]] = system_lookup,
    ) -> None:
        """Build a watch over nothing; `publish` is called in the event loop and must not block."""
        self._publish = publish
        self._config: Config | None = None
        self._resolved: dict[str, tuple[str, ...]] = {}
        self._resolver = Resolver(self._resolved_anew, lookup=lookup)
        self._client = HealthClient()
        self._prober = Prober(publish, probe=self._client.probe)

    def apply(self, config: Config) -> None:
        """Watch the upstreams of a configuration; never waits for a name or an address."""
        self._config = config
        self._client.forget_contexts()
        upstreams = [u for site in config.sites for route in site.routes for u in route.upstream]
        self._resolver.update({upstream.host for upstream in upstreams})
        self._prober.update(self._probed())

    def snapshot(self) -> tuple[UpstreamMessage, ...]:
        """Return all that is known, for a worker that starts and for the status page."""
        return (*self._resolver.snapshot(), *self._prober.snapshot())

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resolver.run())
            tasks.create_task(self._prober.run())

    def _resolved_anew(self, message: UpstreamAddresses) -> None:
        self._resolved[message.name] = message.addresses
        self._publish(message)
        self._prober.update(self._probed())

    def _probed(self) -> list[TargetKey]:
        keys: list[TargetKey] = []
        for site in self._config.sites if self._config else ():
            for route in site.routes:
                check = health_check(site, route)
                if check is None:
                    continue
                for upstream in route.upstream:
                    addresses = upstream_addresses(upstream, self._resolved)
                    keys.extend(target_keys(upstream, route, check, addresses))
        return keys
