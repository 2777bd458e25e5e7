"""The single calls of ACME, each blocking and bounded, over one network. Import late, as `network`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import josepy.b64
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.json_util import JSONObjectWithFields, field
from josepy.jwk import JWKEC
from requests import Response

from acme import challenges, client, messages
from acme import errors as acme_errors
from autocert.errors import ProblemDocument, ReplyError, SettingsError, Unreachable, UnreachableError
from autocert.names import is_address
from autocert.network import Network
from autocert.renewal import Window
from autocert.replies import Authorization, Order, problem_document, renewal_window, retry_after_seconds

_NEEDED: Final = ("newNonce", "newAccount", "newOrder")


class NewOrder(messages.NewOrder):
    """A new order that can name the certificate it replaces (RFC 9773 section 5), which the library lacks."""

    replaces: str | None = field("replaces", omitempty=True)


class ContactUpdate(JSONObjectWithFields):
    """What changes the addresses of an account; an empty list, which the library leaves out, takes them away."""

    contact: tuple[str, ...] = field("contact")


class Connection:
    """One account's way to one CA."""

    def __init__(self, directory_url: str, ca_file: str, key: ec.EllipticCurvePrivateKey) -> None:
        self._url = directory_url
        self._jwk = JWKEC(key=key)
        scheme = urlsplit(directory_url).scheme
        self._network = Network(self._jwk, scheme=scheme, ca_file=ca_file)
        self._directory: messages.Directory | None = None

    def allow(self, seconds: float) -> None:
        """Give the next call that much time."""
        self._network.allow(seconds)

    def begin(self) -> None:
        """Read the CA's directory, afresh."""
        self._directory = None
        self.directory()

    def use_account(self, uri: str) -> None:
        """Sign requests in the name of that account, or with the bare key when it is ""."""
        resource = messages.RegistrationResource(body=messages.Registration(), uri=uri) if uri else None
        self._network.account = resource

    def directory(self) -> messages.Directory:
        """Return the CA's directory as it was when it was last read."""
        if self._directory is None:
            with _understood():
                content = self._network.get(self._url).json()
                if not isinstance(content, dict) or not all(isinstance(content.get(k), str) for k in _NEEDED):
                    raise UnreachableError(Unreachable.NOT_ACME, f"no ACME directory at {self._url}")
                self._directory = messages.Directory.from_json(content)
        return self._directory

    def caa_identities(self) -> tuple[str, ...]:
        """Return the names by which CAA records allow this CA (RFC 8555 section 9.7.6)."""
        return tuple(self.directory()["meta"].caa_identities or ())

    def register(self, email: str, eab_kid: str, eab_hmac_key: str) -> str:
        """Return the URI of the key's account, which is made when there is none; accepts the CA's terms."""
        directory = self.directory()
        binding = None
        if eab_kid:
            try:
                josepy.b64.b64decode(eab_hmac_key)
                binding = messages.ExternalAccountBinding.from_data(
                    self._jwk.public_key(), eab_kid, eab_hmac_key, directory
                )
            except (ValueError, TypeError, JoseError) as exc:
                raise SettingsError("eab_hmac_key is not in base64url") from exc
        self.use_account("")
        message = messages.NewRegistration.from_data(
            email=email or None, terms_of_service_agreed=True, external_account_binding=binding
        )
        with _understood():
            try:
                uri = client.ClientV2(directory, self._network).new_account(message).uri
            except acme_errors.ConflictError as exc:
                uri = exc.location
        self.use_account(str(uri))
        return str(uri)

    def update_contact(self, emails: tuple[str, ...]) -> None:
        """Have the CA know the account in use by these addresses (RFC 8555 section 7.3.2)."""
        account = self._network.account
        if account is None:
            raise SettingsError("no account is in use")
        self._post(account.uri, ContactUpdate(contact=tuple(f"mailto:{email}" for email in emails)))

    def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        """Order a certificate; `profile` and `replaces` are sent when not ""."""
        identifiers = [messages.Identifier(typ=_identifier_type(name), value=name) for name in names]
        order = NewOrder(identifiers=identifiers, profile=profile or None, replaces=replaces or None)
        return self._order(self._post(self.directory()["newOrder"], order), "")

    def order(self, url: str) -> Order:
        """Return the order as it is now."""
        return self._order(self._post(url, None), url)

    def authorization(self, url: str) -> Authorization:
        """Return the authorization as it is now."""
        response = self._post(url, None)
        with _understood():
            body = messages.Authorization.from_json(response.json())
            http01 = [entry for entry in body.challenges if isinstance(entry.chall, challenges.HTTP01)]
            refused = [entry.error for entry in body.challenges if entry.error is not None]
            return Authorization(
                url=url,
                name=body.identifier.value,
                status=body.status.name,
                challenge=http01[0].uri if http01 else "",
                challenge_status=http01[0].status.name if http01 else "",
                error=_document(refused[0]) if refused else None,
                retry_after=_retry_after(response),
            )

    def answer(self, challenge_url: str) -> None:
        """Tell the CA to validate; the content is an empty object (RFC 8555 section 7.5.1)."""
        self._post(challenge_url, challenges.HTTP01Response())

    def finalize(self, order: Order, request_der: bytes) -> Order:
        """Hand in the certificate signing request."""
        request = messages.CertificateRequest(csr=x509.load_der_x509_csr(request_der))
        return self._order(self._post(order.finalize, request), order.url)

    def download(self, url: str) -> bytes:
        """Return the chain that the CA offers first, in PEM."""
        return self._post(url, None).content

    def offers_renewal_information(self) -> bool:
        """Tell whether the CA knows of renewal windows (RFC 9773)."""
        return isinstance(getattr(self.directory(), "renewalInfo", None), str)

    def renewal_information(self, ari_id: str) -> tuple[Window | None, float | None]:
        """Return the suggested window and Retry-After; (None, None) when the CA offers no such thing."""
        if not self.offers_renewal_information():
            return None, None
        base = str(self.directory()["renewalInfo"])
        response = self._network.get(f"{base.rstrip('/')}/{ari_id}")
        return renewal_window(response.json()), _retry_after(response)

    def _post(self, url: str, message: Any) -> Response:
        with _understood():
            response: Response = self._network.post(url, message, new_nonce_url=self.directory()["newNonce"])
            return response

    def _order(self, response: Response, url: str) -> Order:
        with _understood():
            body = messages.Order.from_json(response.json())
            return Order(
                url=url or response.headers["Location"],
                status=body.status.name,
                authorizations=tuple(body.authorizations or ()),
                finalize=body.finalize or "",
                certificate=body.certificate or "",
                error=_document(body.error) if body.error is not None else None,
                retry_after=_retry_after(response),
            )


def _identifier_type(name: str) -> messages.IdentifierType:
    return messages.IDENTIFIER_IP if is_address(name) else messages.IDENTIFIER_FQDN


def _document(error: messages.Error) -> ProblemDocument:
    found = problem_document(error.to_json(), 0)
    return found or ProblemDocument("about:blank", str(error))


def _retry_after(response: Response) -> float | None:
    headers = response.headers
    return retry_after_seconds(headers.get("Retry-After", ""), headers.get("Date", ""), time.time())


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what the library says about replies that make no sense into our errors."""
    try:
        yield
    except (JoseError, acme_errors.Error, ValueError, KeyError, TypeError, AttributeError) as exc:
        words = f"the CA's reply cannot be understood: {type(exc).__name__}: {exc}"
        raise ReplyError(ProblemDocument("about:blank", words)) from exc
