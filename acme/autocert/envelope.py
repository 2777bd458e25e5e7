"""Wrap what goes into the storage so that damage is noticed when it is read again.

A file begins with one line, `foregate KIND 1 LENGTH SHA256`, and the content follows as it is, so that any
tool that takes PEM can still read a stored certificate.
"""

import hashlib

from autocert.errors import WrongCertificateError

_FORMAT = "1"
_LONGEST_HEADER = 200


def seal(kind: str, content: bytes) -> bytes:
    """Return the content under its header line."""
    digest = hashlib.sha256(content).hexdigest()
    return f"foregate {kind} {_FORMAT} {len(content)} {digest}\n".encode() + content


def unseal(kind: str, sealed: bytes) -> bytes:
    """Return the content of a file.

    Raises WrongCertificateError when it is empty, cut short, of another kind, or changed.
    """
    header, newline, content = sealed.partition(b"\n")
    if not sealed:
        raise WrongCertificateError("the file is empty")
    words = header[:_LONGEST_HEADER].decode("ascii", "replace").split(" ")
    if not newline or len(words) != 5 or words[:3] != ["foregate", kind, _FORMAT]:
        raise WrongCertificateError(f"the file does not begin as a {kind} does")
    if words[3] != str(len(content)):
        raise WrongCertificateError(f"the file has {len(content)} octets where {words[3][:20]} were written")
    if words[4] != hashlib.sha256(content).hexdigest():
        raise WrongCertificateError("the file's content does not match its checksum")
    return content
