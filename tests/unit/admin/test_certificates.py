"""The certificate routes: what is asked of whom, and which status tells what."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.admin.access import AccessPolicy
from proxy.admin.application import operator_application
from proxy.admin.certificates import CertificateOutcome, certificate_routes
from proxy.admin.operations import Document
from tests.fakes.asgi import ask
from tests.fakes.operations import FakeOperations

LIST: Document = {"certificates": [], "storage_problems": []}


@dataclass
class FakeCertificates:
    """Implements CertificateOperations."""

    outcome: CertificateOutcome = field(
        default_factory=lambda: CertificateOutcome(certificate={"name": "a.test"})
    )
    diagnosis: Document | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def certificates(self) -> Document:
        return LIST

    async def renew_certificate(self, name: str) -> CertificateOutcome:
        self.asked.append(("renew", name))
        return self.outcome

    async def restore_certificate(self, name: str) -> CertificateOutcome:
        self.asked.append(("restore", name))
        return self.outcome

    async def diagnose(self, name: str) -> Document | None:
        self.asked.append(("diagnose", name))
        return self.diagnosis


@pytest.fixture
def certificates() -> FakeCertificates:
    return FakeCertificates()


@pytest.fixture
def app(certificates: FakeCertificates) -> Any:
    return operator_application(FakeOperations(), AccessPolicy, certificate_routes(certificates))


async def test_the_list(app: Any) -> None:
    answer = await ask(app, "GET", "/api/v1/certificates")
    assert (answer.status, answer.document) == (200, LIST)


@pytest.mark.parametrize("verb", ["renew", "restore"])
async def test_a_change_answers_with_the_certificate(
    app: Any, certificates: FakeCertificates, verb: str
) -> None:
    answer = await ask(app, "POST", f"/api/v1/certificates/A.test./{verb}")
    assert (answer.status, answer.document) == (200, {"name": "a.test"})
    assert certificates.asked == [(verb, "a.test")]
    assert (await ask(app, "GET", f"/api/v1/certificates/a.test/{verb}")).status == 405


@pytest.mark.parametrize(("is_known", "status"), [(True, 409), (False, 404)])
async def test_what_is_in_the_way_is_told(
    app: Any, certificates: FakeCertificates, is_known: bool, status: int
) -> None:
    certificates.outcome = CertificateOutcome(fault="The CA is away. Wait.", is_known=is_known)
    answer = await ask(app, "POST", "/api/v1/certificates/a.test/renew")
    assert answer.status == status
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.document["detail"] == "The CA is away. Wait."


@pytest.mark.parametrize(("path", "name"), [("%2A", "*"), ("%5B::1%5D", "[::1]"), ("a.test", "a.test")])
async def test_a_diagnosis_of_any_kind_of_name(
    app: Any, certificates: FakeCertificates, path: str, name: str
) -> None:
    certificates.diagnosis = {"name": name, "problems": [], "notes": []}
    answer = await ask(app, "GET", f"/api/v1/certificates/{path}/diagnosis")
    assert (answer.status, answer.document["name"], certificates.asked) == (200, name, [("diagnose", name)])


async def test_no_diagnosis_of_a_name_that_is_not_configured(app: Any) -> None:
    answer = await ask(app, "GET", "/api/v1/certificates/x.test/diagnosis")
    assert (answer.status, answer.document["detail"]) == (404, "x.test is not in the configuration")
