"""The PyPI client's network layer, with what it gets wrong put right. Import late: it costs 100 ms and more.

What is changed, each with a test: a rejected nonce is retried with the nonce of the rejection, several times;
a refusal keeps its Retry-After and its whole problem document; environment variables neither set a proxy nor
another trust store; a reply's body is bounded in size and a whole call in time; redirects are not followed,
since a signed request is for one URL.
"""

import io
import ssl
import time
from typing import Any, Final

import requests
import urllib3
from acme.client import ClientNetwork
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from acme import errors as acme_errors
from autocert.errors import ProblemDocument, ReplyError, SettingsError, Unreachable, UnreachableError
from autocert.replies import problem_document, retry_after_seconds

# Measured with half of all nonces rejected: 1 retry failed 6 of 6 issuances, 8 retries 1 of some 200; each request of
# the ten that an issuance takes may need luck, so 8 would be too few by chance alone: 10 x 0.5 ** 9 is 2 %.
_NONCE_TRIES: Final = 20
_LARGEST_BODY: Final = 512 << 10
_READ_TIMEOUT: Final = 10.0
USER_AGENT: Final = "foregate-autocert/1"


class _Adapter(HTTPAdapter):
    """Verifies chain, dates and name with every Python alike.

    Since Python 3.13 private CAs are refused for their form, too (no key usage in the root, for one), which would
    end renewals by nothing but a newer Python.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = create_urllib3_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().init_poolmanager(*args, ssl_context=context, **kwargs)


class Network(ClientNetwork):
    """Signed requests to one CA; not for use by two threads at a time."""

    def __init__(self, key: JWKEC, *, scheme: str, ca_file: str) -> None:
        super().__init__(key, alg=ES256, user_agent=USER_AGENT)
        self.session.trust_env = False
        self.session.mount("https://", _Adapter())
        self._trust: str | bool = ca_file or True
        self._scheme = scheme
        self._ends = 0.0

    def allow(self, seconds: float) -> None:
        """Give the next calls together that much time."""
        self._ends = time.monotonic() + seconds

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a signed request; a rejected nonce is replaced by the one that came with the rejection."""
        for _ in range(_NONCE_TRIES - 1):
            try:
                return self._post_once(*args, **kwargs)
            except ReplyError as error:
                if error.document.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        if not url.startswith(("https:", f"{self._scheme}:")):
            raise UnreachableError(
                Unreachable.NOT_ACME, f"the CA named an address without https: {url[:200]}"
            )
        try:
            response = self.session.request(
                method,
                url,
                data=kwargs.get("data"),
                headers={"User-Agent": self.user_agent, **kwargs.get("headers", {})},
                verify=self._trust,
                timeout=min(self._remaining(), _READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            )
            response.raw = io.BytesIO(self._body(response))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            raise _unreachable(exc) from exc
        except OSError as exc:
            # Requests says in a bare OSError that the trust file is missing.
            raise SettingsError(f"ca_file {self._trust} cannot be used: {exc}") from exc
        response.encoding = "utf-8"
        self._keep_nonce(response)
        return response

    def _remaining(self) -> float:
        seconds = self._ends - time.monotonic()
        if seconds <= 0:
            raise UnreachableError(Unreachable.SLOW, "the reply did not end in time")
        return seconds

    def _body(self, response: requests.Response) -> bytes:
        """Read the whole body; a read ends as soon as something came, so that the deadline is seen."""
        body = bytearray()
        try:
            while chunk := response.raw.read1(8192, decode_content=True):
                body += chunk
                if len(body) > _LARGEST_BODY:
                    raise UnreachableError(Unreachable.NOT_ACME, "the reply is far too large")
                self._remaining()
        except BaseException:
            response.raw.close()
            raise
        response.raw.release_conn()
        return bytes(body)

    def _keep_nonce(self, response: requests.Response) -> None:
        if response.ok or self.REPLAY_NONCE_HEADER not in response.headers:
            return
        # The library takes nonces from good replies only, and would use up an old one next.
        self._nonces.clear()
        try:
            self._add_nonce(response)
        except acme_errors.NonceError:
            return

    @classmethod
    def _check_response(
        cls, response: requests.Response, content_type: str | None = None
    ) -> requests.Response:
        """Return a good reply; raises ReplyError with all that a bad one says."""
        try:
            content = response.json()
        except ValueError:
            content = None
        if response.ok and response.status_code < 300:
            if content_type == cls.JSON_CONTENT_TYPE and content is None:
                raise UnreachableError(Unreachable.NOT_ACME, "the reply is not JSON")
            return response
        retry_after = retry_after_seconds(
            response.headers.get("Retry-After", ""), response.headers.get("Date", ""), time.time()
        )
        document = problem_document(content, response.status_code)
        if document is None:
            words = f"status {response.status_code} {response.reason} without a problem document"
            document = ProblemDocument("about:blank", words, response.status_code)
        raise ReplyError(document, retry_after)


def _unreachable(error: Exception) -> UnreachableError:
    """Say why a request did not get through, in one of our reasons."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return UnreachableError(Unreachable.UNTRUSTED, text)
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return UnreachableError(Unreachable.SLOW, text)
    if isinstance(error, requests.exceptions.ConnectionError) and "resolve" in text:
        return UnreachableError(Unreachable.DNS, text)
    return UnreachableError(Unreachable.REFUSED, text)
