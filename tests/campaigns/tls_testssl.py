"""Ask testssl.sh what it thinks of our TLS in its default configuration.

`python -m tests.campaigns.tls_testssl` (Debian package testssl.sh; about three minutes). Passes when nothing above LOW
is found. Left out is what belongs to the test's own certificate (it is valid for 30 years and names no place for
revocations) and to the answers of the test's application (no security headers, no HSTS).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fakes.certificates import Authority
from tests.fakes.tls_server import NAME, TlsServer

SECONDS: Final = 900
NOT_OURS: Final = frozenset(
    ("cert_validityPeriod", "cert_revocation", "security_headers", "HSTS", "DNS_CAArecord")
)
HARMLESS: Final = frozenset(("OK", "INFO", "LOW", "DEBUG"))


def main() -> int:
    """Run it, print the findings, return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        with TlsServer(authority, default=NAME) as server:
            command = ["testssl", "--quiet", "--color", "0", "--ip", "127.0.0.1"]
            command += ["--add-ca", str(authority.ca_file), "--jsonfile", str(folder / "found.json")]
            subprocess.run(
                [*command, f"{NAME}:{server.port}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=SECONDS,
            )
            counts = dict(server.counts)
        findings = json.loads((folder / "found.json").read_text())
    ours = [finding for finding in findings if finding["id"] not in NOT_OURS]
    bad = [finding for finding in ours if finding["severity"] not in HARMLESS]
    for finding in bad:
        print(f"{finding['severity']}: {finding['id']}: {finding['finding']}")
    print(f"{len(findings)} findings, {len(bad)} of ours above LOW; the server counted {counts}")
    # a warning says that testssl.sh could not find out; resumption without a request is a race of its own making
    return 1 if any(finding["severity"] != "WARN" for finding in bad) else 0


if __name__ == "__main__":
    sys.exit(main())
