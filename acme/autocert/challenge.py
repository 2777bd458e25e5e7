"""Answer HTTP-01 challenges without keeping a token (RFC 8555 section 8.3).

The answer is `token.thumbprint`, and a CA only asks for tokens that it made itself, so every process that
knows the account's thumbprint can answer any well-formed token: no token travels between processes.
"""

import re
from typing import Final

PREFIX: Final = "/.well-known/acme-challenge/"

# RFC 8555 section 8.3: base64url without padding, at least 128 bits (22 characters). The upper bound keeps
# what a stranger can make us echo small.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,256}\Z")


def is_token(token: str) -> bool:
    """Tell whether the text is a well-formed challenge token; anything else must not be echoed."""
    return _TOKEN.match(token) is not None


def key_authorization(token: str, thumbprint: str) -> str:
    """Return the key authorization (RFC 8555 section 8.1) of a token that `is_token` has accepted."""
    return f"{token}.{thumbprint}"


def answer(path: str, thumbprint: str) -> str | None:
    """Return the content that answers a request for this path, None when it is not a challenge's."""
    if not path.startswith(PREFIX):
        return None
    token = path[len(PREFIX) :]
    return key_authorization(token, thumbprint) if is_token(token) else None
