"""The readable form of what /api/v1/status answers."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from proxy.admin.certificates_page import certificates_section
from proxy.admin.columns import columns, indented
from proxy.admin.upstreams_page import upstreams_section


def status_page(status: Mapping[str, Any]) -> str:
    """Write a status document for a terminal."""
    configuration = status["configuration"]
    lines = [
        f"foregate {status['version']}, {status['state']} for {_duration(status['uptime_seconds'])}, "
        f"pid {status['pid']}, user {status['user']}",
        f"configuration {configuration['file']}, loaded {configuration['loaded']} "
        f"(generation {configuration['generation']})",
    ]
    if build := status.get("build"):  # a program from before an upgrade does not tell
        lines.insert(1, build_line(build["form"], build["python"], build["openssl"], build["uvloop"]))
    if configuration["last_reload_faults"]:
        lines += ["the last reload was refused:", *indented(configuration["last_reload_faults"])]
    for alarm in status.get("alarms", ()):
        lines += ["", *wrap(f"ALARM: {alarm}", 100)]
    lines += ["", *_traffic(status["traffic"]), ""]
    listeners = [(row["purpose"], row["configured"], row["address"]) for row in status["listeners"]]
    lines += [*columns(("LISTENER", "CONFIGURED", "ADDRESS"), listeners), ""]
    workers = [
        (
            str(row["slot"]),
            str(row["pid"]),
            row["state"],
            str(row["connections"]),
            _size(row["resident_bytes"]),
            row["started"],
        )
        for row in status["workers"]
    ]
    lines += columns(("WORKER", "PID", "STATE", "CONNECTIONS", "MEMORY", "STARTED"), workers)
    upstreams = upstreams_section(status.get("upstreams", ()))
    lines += ["", *upstreams] if upstreams else []
    certificates = certificates_section(status)
    lines += ["", *certificates] if certificates else []
    limited = [(row["client"], str(row["refused"])) for row in status.get("limited_clients", ())]
    if limited:
        lines += ["", *columns(("LIMITED CLIENT", "REFUSED IN 5 MINUTES"), limited)]
    ends = [
        f"{count} {reason.replace('_', ' ')}" for reason, count in status["worker_exits"].items() if count
    ]
    if ends:
        lines += ["", f"workers that ended: {', '.join(ends)}"]
    return "\n".join(lines)


def build_line(form: str, python: str, openssl: str, uvloop: str) -> str:
    """Say what runs beneath."""
    ways = {"compiled": "hot modules compiled by mypyc", "sources": "hot modules run from their sources"}
    return f"{ways.get(form, form)}; Python {python}, OpenSSL {openssl}, uvloop {uvloop}"


def _traffic(traffic: Mapping[str, Any]) -> list[str]:
    ratio = traffic["hit_ratio"]
    hits = "-" if ratio is None else f"{ratio:.1%}"
    connections = traffic["connections"]
    return [
        f"requests {traffic['requests']}, {traffic['requests_per_second']:.1f}/s lately, "
        f"cache hits {hits}, limited {traffic['limited']}",
        f"connections {connections['http']} http, {connections['https']} https; "
        f"received {_size(traffic['received_bytes'])}, sent {_size(traffic['sent_bytes'])}",
    ]


def _size(octets: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1024:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} TB"


def _duration(seconds: float) -> str:
    left = int(seconds)
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
