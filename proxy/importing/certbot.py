"""certbot's folder, /etc/letsencrypt, as a draft of proxy.toml."""

import json
from collections.abc import Iterable
from pathlib import Path

from proxy.importing.account_keys import UnusableKeyError, from_jwk
from proxy.importing.draft import Draft, FoundAccount
from proxy.importing.errors import ImportRefusedError
from proxy.importing.lineages import read_lineage
from proxy.importing.small_files import read_small

OWN_ACCOUNT = "Foregate registers an account of its own, which costs nothing"


def read_certbot(paths: Iterable[Path], draft: Draft, upstream: str) -> None:
    """Add certificates, accounts and a site for each lineage; `upstream` is where the sites lead."""
    for root in paths:
        names = sorted(
            {p.stem for p in root.glob("renewal/*.conf")}
            | {p.parent.name for p in root.glob("live/*/fullchain.pem")}
        )
        if not names:
            raise ImportRefusedError(
                f"{root}: neither renewal/NAME.conf nor live/NAME/fullchain.pem is in this folder"
            )
        claimed: set[str] = {name for site in draft.sites for name in site["domains"]}
        for name in names:
            lineage = read_lineage(root, name, draft)
            domains = [host for host in lineage.names if host not in claimed] if lineage else []
            if lineage is None or not domains:
                continue
            claimed |= set(domains)
            site = {"domains": domains, "upstream": upstream, **({"tls": lineage.tls} if lineage.tls else {})}
            draft.sites.append(site)
        _read_accounts(root, draft)
    reason = f"certbot does not know where your apps are: {upstream} stands everywhere; put in the right ones"
    draft.notes.left_out("", "upstream", reason)


def _read_accounts(root: Path, draft: Draft) -> None:
    for file in sorted(root.glob("accounts/*/**/private_key.json")):
        try:
            registration = json.loads(read_small(file.parent / "regr.json"))
            _read_contact(registration, draft)
            account = FoundAccount(
                place=str(file.parent),
                key_pem=from_jwk(read_small(file)),
                uri=str(registration["uri"]),
                directory="https://" + "/".join(file.relative_to(root / "accounts").parts[:-2]),
            )
        except UnusableKeyError as exc:
            draft.notes.left_out(str(file), "account", f"{exc}; {OWN_ACCOUNT}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            draft.notes.left_out(str(file.parent), "account", f"it cannot be read ({exc}); {OWN_ACCOUNT}")
        else:
            draft.accounts.append(account)


def _read_contact(registration: dict[str, dict[str, list[str]]], draft: Draft) -> None:
    for contact in registration.get("body", {}).get("contact", ()):
        if contact.startswith("mailto:"):
            draft.table("tls").setdefault("email", contact.removeprefix("mailto:"))
