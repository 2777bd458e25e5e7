"""What workers get of a configuration: everything but the supervisor's own secrets, and their blocks."""

import pickle
from dataclasses import replace

from proxy.config.schema import Config, Server, Site, Tls
from proxy.control.messages import Configure
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import Loaded
from proxy.telemetry.totals import CounterLedger

TLS = Tls(eab_kid="account", eab_hmac_key="c2VjcmV0LWhtYWM", email="a@example.com")


def loaded(*names: str) -> Loaded:
    sites = tuple(Site(domains=(name,), name=name, tls=TLS) for name in names)
    config = Config(server=Server(admin_token="secret-token"), tls=TLS, sites=sites)
    return Loaded(config, (), b"", None)


def sent(in_use: InUse) -> Configure:
    command = pickle.loads(in_use.configure.pickled)
    assert isinstance(command, Configure)
    return command


def test_workers_do_not_learn_what_is_the_supervisors_alone() -> None:
    in_use = InUse(loaded("a.test"), (), CounterLedger())
    assert b"secret-token" not in in_use.configure.pickled
    assert b"c2VjcmV0" not in in_use.configure.pickled
    command = sent(in_use)
    bare = replace(TLS, eab_kid="", eab_hmac_key="")
    expected = replace(in_use.config, server=replace(in_use.config.server, admin_token=""), tls=bare)
    assert command.config == replace(expected, sites=(replace(in_use.config.sites[0], tls=bare),))
    assert in_use.config.server.admin_token == "secret-token"


def test_every_use_has_a_number_and_sites_keep_their_blocks() -> None:
    in_use = InUse(loaded("a.test", "b.test"), (), CounterLedger())
    assert (sent(in_use).generation, sent(in_use).site_blocks) == (1, {"a.test": 1, "b.test": 2})
    in_use.use(loaded("c.test", "b.test"))
    assert sent(in_use).generation == 2
    assert sent(in_use).site_blocks == {"a.test": 1, "b.test": 2, "c.test": 3}
