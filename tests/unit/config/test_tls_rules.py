"""Names without a possible certificate and halves of pairs are found, where they were written."""

from collections.abc import Callable

import pytest

from proxy.config.schema import Config

Lines = Callable[..., list[str]]
SITE = '[[site]]\ndomains = ["{}"]\nupstream = "http://a"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            SITE.format("*"),
            '2: site[0].domains[0] (*): found "*", expected a name that a CA can put into a certificate; list the '
            'names, or set tls.mode to "self-signed", "files" or "off" for this site',
        ),
        (
            SITE.format("my_app.example.com"),
            '2: site[0].domains[0] (my_app.example.com): found "my_app.example.com", expected a name without '
            'underscores, as public CAs demand; rename it, or set tls.mode to "self-signed", "files" or "off" for '
            "this site",
        ),
        (
            '[tls]\neab_kid = "x"\n' + SITE.format("a.de"),
            "1: tls.eab_hmac_key: found nothing, expected both of eab_kid and eab_hmac_key, because eab_kid is set; "
            "the CA gives them together",
        ),
        (
            SITE.format("a.de") + 'tls = {eab_hmac_key = "YWI"}',
            "4: site[0].tls.eab_kid (a.de): found nothing, expected both of eab_kid and eab_hmac_key, because "
            "eab_hmac_key is set; the CA gives them together",
        ),
        (
            '[tls]\nmode = "files"\ncertificate = "c.pem"\n' + SITE.format("a.de") + SITE.format("b.de"),
            '1: tls.private_key: found nothing, expected a file, because tls.mode is "files"',
        ),
        (
            SITE.format("a.de") + 'tls = {mode = "files", private_key = "k.pem"}\n' + SITE.format("b.de"),
            '4: site[0].tls.certificate (a.de): found nothing, expected a file, because tls.mode is "files"',
        ),
    ],
)
def test_faults(text: str, line: str, fault_lines: Lines) -> None:
    assert fault_lines(text, site=False) == [line]


def test_more_names_than_one_certificate_holds(fault_lines: Lines, parsed: Callable[..., Config]) -> None:
    names = ", ".join(f'"a{number}.de"' for number in range(26))
    text = f'[[site]]\ndomains = [{names}]\nupstream = "http://a"\ntls = {{group = true, profile = "%s"}}'
    [line] = fault_lines(text % "shortlived", site=False)
    assert line.startswith(
        "2: site[0].domains (a0.de): found 26 names, expected at most 25 names in one certificate"
    )
    assert parsed(text % "classic", site=False).sites
    assert parsed(text.replace("group = true", "group = false") % "shortlived", site=False).sites


@pytest.mark.parametrize(
    "text",
    [
        '[tls]\nmode = "self-signed"\n' + SITE.format("*"),
        '[tls]\nmode = "files"\n'
        + SITE.format("a.de")
        + 'tls = {certificate = "c.pem", private_key = "k.pem"}',
        SITE.format("*") + 'tls.mode = "off"',
        "[server]\nhttps = []\n" + SITE.format("*"),
        SITE.format("my_app.internal") + 'tls.directory = "https://ca.internal/dir"',
    ],
)
def test_what_is_no_fault(text: str, parsed: Callable[..., Config]) -> None:
    assert len(parsed(text, site=False).sites) == 1


def test_a_binding_may_be_completed_by_sites_that_need_it(fault_lines: Lines) -> None:
    # Sites without the second half would register with the first alone.
    text = '[tls]\neab_kid = "x"\n' + SITE.format("a.de") + 'tls = {eab_hmac_key = "YWI"}'
    assert [line.partition(":")[0] for line in fault_lines(text, site=False)] == ["1"]
