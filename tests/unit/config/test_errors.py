"""A fault is one line: where, which key, what was found, what is expected, and a hint."""

from proxy.config.errors import ConfigError, ConfigWarning, Fault
from proxy.errors import ForegateError


def test_a_fault_reads_as_one_line() -> None:
    fault = Fault(
        "proxy.toml", 12, "site[0].limits.body", '"10 bananas"', "a size", "did you mean it?", "a.example"
    )
    assert str(fault) == (
        'proxy.toml:12: site[0].limits.body (a.example): found "10 bananas", expected a size; did you mean it?'
    )


def test_what_is_not_known_is_left_out() -> None:
    assert str(Fault("proxy.toml", None, "", "", "a file")) == "proxy.toml: expected a file"
    assert str(Fault("proxy.toml", None, "a.b", "1", "2")) == "proxy.toml: a.b: found 1, expected 2"


def test_a_warning_reads_alike() -> None:
    assert str(ConfigWarning("p", 3, "site[0]", "odd", "a.example")) == "p:3: site[0] (a.example): odd"


def test_an_error_holds_and_says_all_faults() -> None:
    faults = (Fault("p", 1, "a", "", "b"), Fault("p", 2, "c", "", "d"))
    error = ConfigError(faults)
    assert isinstance(error, ForegateError)
    assert error.faults == faults
    assert str(error) == "p:1: a: expected b\np:2: c: expected d"
