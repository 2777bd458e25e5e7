"""The grammar of HTTP/1.1 messages as compiled regular expressions (RFC 9110 section 5, RFC 9112 sections 2 to 7).

Theory of operation.  Heads are matched whole, never line by line: one expression says whether a field section
is well-formed, a second one takes it apart.  Every quantifier that could backtrack is possessive (``++``,
``*+``), so a match costs time linear in its input whatever a peer sends.  There is no lenient mode: a bare CR
or LF, obs-fold, white space before a colon, controls in a value and an empty name simply do not match.

CPython before 3.11.5 (Debian 12 has 3.11.2) does not go back where a turn of a possessive group fails behind a
quantifier or an assertion (gh-100061): what this turn took stays taken.  Here such a group has none (``[h][h]``, not
``[h]{2}``), or is greedy with all of it possessive inside; FIELD_SECTION alone may, because its text ends with a CRLF,
which such a turn cannot take.
"""

import re
from typing import Final

#: A request line above this length (octets) may hold a target that is too long; below, it cannot.
LONG_LINE: Final = 16 * 1024

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
#: VCHAR, obs-text, SP and HTAB: what a field value may hold (RFC 9110 section 5.5).
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"

#: A path holds pchar and "/" (RFC 3986), and "|", "[", "]", which browsers leave as they are; "%" only before
#: two hex digits.
_PATH: Final = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/|\[\]]++|%[0-9A-Fa-f][0-9A-Fa-f])*+"
#: A query further holds what browsers leave unencoded there (WHATWG URL, query percent-encode set), and a
#: stray "%".
_QUERY: Final = rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%|\\^`{}\[\]]*+"
_AUTHORITY: Final = (
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f][0-9A-Fa-f])++)(?::[0-9]{0,5})?"
)

REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+) ([!-~\x80-\xff]++) HTTP/1\.([01])",
)
#: The common case in one go: a request line in origin-form with its CRLF, at the start of a buffer.
ORIGIN_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+) (/" + _PATH + rb"(?:\?" + _QUERY + rb")?) HTTP/1\.([01])\r\n",
)
ORIGIN_FORM: Final = re.compile(rb"/" + _PATH + rb"(?:\?" + _QUERY + rb")?")
ABSOLUTE_FORM: Final = re.compile(
    rb"[Hh][Tt][Tt][Pp][Ss]?://(" + _AUTHORITY + rb")((?:/" + _PATH + rb")?(?:\?" + _QUERY + rb")?)",
)
#: What may still become a request line, of whatever version; tells garbage (a TLS hello, binary) from a slow
#: client before the line is whole.
REQUEST_LINE_PREFIX: Final = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+(?: (?:[!-~\x80-\xff]++"
    rb"(?: (?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?)?)?)?)?",
)
VERSION_SUFFIX: Final = re.compile(rb" HTTP/([0-9])\.([0-9])\Z")

STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + VALUE + rb"))?")

FIELD_SECTION: Final = re.compile(rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+")
FIELD_LINES: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*+(" + VALUE + rb")\r\n")
FIELD_VALUE: Final = re.compile(VALUE)

#: uri-host [":" port] (RFC 9110 section 7.2, RFC 3986 section 3.2.2); userinfo is not part of it.
HOST: Final = re.compile(_AUTHORITY)
DIGITS: Final = re.compile(rb"[0-9]{1,18}")

_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
#: chunk-size [chunk-ext] without its CRLF (RFC 9112 section 7.1); 15 digits keep the size below 2**60.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15}+)((?:[ \t]*+;[ \t]*+"
    + TOKEN
    + rb"(?:[ \t]*+=[ \t]*+(?:"
    + TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*)",
)

#: A CR or LF that is not part of a CRLF; a CR in the last place may still be followed by its LF.
BARE_CR_OR_LF: Final = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")
