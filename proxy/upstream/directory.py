"""The worker's picture of all upstreams: what the supervisor pushes becomes members of balancers."""

from weakref import WeakKeyDictionary, WeakValueDictionary

from proxy.config.schema import Route, Site
from proxy.upstream.addresses import HealthReport, TargetKey, UpstreamMessage
from proxy.upstream.balancer import Balancer, Member, Target
from proxy.upstream.targets import health_check, target_keys, upstream_addresses


class UpstreamDirectory:
    """The targets, balancers and resolved names of one worker.

    Targets are shared by all balancers and live as long as one of them, or a request, refers to them; so
    health and counts of requests in flight outlive a reload.
    """

    def __init__(self, *, hash_key: bytes = b"") -> None:
        """Build an empty directory.

        `hash_key` (up to 64 octets, the same in all workers) keys the hash of client_ip balancing.
        """
        self._hash_key = hash_key
        self._resolved: dict[str, tuple[str, ...]] = {}
        self._faults: dict[str, str] = {}
        self._down: dict[TargetKey, str] = {}
        self._targets: WeakValueDictionary[TargetKey, Target] = WeakValueDictionary()
        self._routes: WeakKeyDictionary[Balancer, tuple[Site, Route]] = WeakKeyDictionary()

    def balancer(self, site: Site, route: Route) -> Balancer:
        """Build the balancer of a route; it follows all later messages for as long as it is referred to."""
        balancer = Balancer(route.balance, self._members(site, route), key=self._hash_key)
        self._routes[balancer] = (site, route)
        return balancer

    def apply(self, message: UpstreamMessage) -> None:
        """Take over what the supervisor found out about a name or a target."""
        if isinstance(message, HealthReport):
            self._report(message)
            return
        self._resolved[message.name] = message.addresses
        self._faults[message.name] = message.fault
        for balancer, (site, route) in list(self._routes.items()):
            if any(upstream.host == message.name for upstream in route.upstream):
                balancer.update(self._members(site, route))

    def fault(self, route: Route) -> str:
        """Say why a route has no address: the last fault of the first of its names that has one, or ""."""
        return next((fault for u in route.upstream if (fault := self._faults.get(u.host, ""))), "")

    def targets(self) -> list[Target]:
        """Return the targets in use, for the status page and the metrics."""
        return list(self._targets.values())

    def _report(self, report: HealthReport) -> None:
        if report.healthy:
            self._down.pop(report.key, None)
        else:
            self._down[report.key] = report.reason
        target = self._targets.get(report.key)
        if target is not None:
            target.health.probed(report.healthy, report.reason)

    def _members(self, site: Site, route: Route) -> list[Member]:
        check = health_check(site, route)
        members: dict[Target, Member] = {}
        for upstream in route.upstream:
            keys = target_keys(upstream, route, check, upstream_addresses(upstream, self._resolved))
            # A single address may change (a container that came back): the name alone then is the identity.
            name = f"{upstream.scheme} {upstream.host}:{upstream.port}{upstream.path}"
            for key in keys:
                target = self._target(key)
                identity = name if len(keys) == 1 else f"{name} {key.address}"
                members.setdefault(
                    target, Member(target, weight=upstream.weight, backup=upstream.backup, identity=identity)
                )
        return list(members.values())

    def _target(self, key: TargetKey) -> Target:
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = Target(key)
            if key in self._down:
                target.health.probed(False, self._down[key])
        return target
