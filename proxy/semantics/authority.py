"""The host of an authority in the form that sites and certificates are kept under (RFC 3986 section 3.2.2)."""


def host_name(authority: bytes) -> bytes:
    """Return the host of host[:port]: lower case, no port, no trailing dot, an IPv6 literal in its brackets."""
    host = authority.lower()
    if host[:1] == b"[":
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0].rstrip(b".")
