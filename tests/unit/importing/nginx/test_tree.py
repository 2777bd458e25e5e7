"""The tree: blocks, includes within bounds, and complaints with file and line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.importing.draft import Notes, Outcome
from proxy.importing.errors import ImportRefusedError
from proxy.importing.nginx.tree import Directive, read_tree


def _read(folder: Path, text: str, **others: str) -> tuple[Directive, ...]:
    for name, content in others.items():
        (folder / f"{name}.conf").write_text(content)
    file = folder / "nginx.conf"
    file.write_text(text)
    return read_tree(file, Notes())


def test_blocks_nest(tmp_path: Path) -> None:
    (http,) = _read(tmp_path, "http {\n server { listen 80; }\n gzip on;\n}")
    assert [d.name for d in http.block] == ["server", "gzip"]
    assert next(http.all("server")).block[0].arguments == ("80",)
    assert http.block[1].place == f"{tmp_path}/nginx.conf:3"


def test_lua_is_no_configuration(tmp_path: Path) -> None:
    found = _read(tmp_path, "init_by_lua_block { local a = '}'; b() }\nlisten 80;")
    assert [d.name for d in found] == ["init_by_lua_block", "listen"]


def test_includes_stand_in_their_place(tmp_path: Path) -> None:
    found = _read(tmp_path, "a 1; include [xy].conf; d 4;", x="b 2;", y="c 3;")
    assert [d.name for d in found] == ["a", "b", "c", "d"]
    assert found[1].file == f"{tmp_path}/x.conf"


def test_a_copied_tree_is_found(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("a 1;")
    (tmp_path.parent / "b.conf").write_text("b 1;")
    text = f"include /etc/nginx/conf.d/*.conf; include {tmp_path}/conf.d/*.conf; include /b.conf;"
    assert [d.name for d in _read(tmp_path, text)] == ["a", "a", "b"]


def test_a_pattern_that_matches_nothing_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "modules-enabled").mkdir()
    assert _read(tmp_path, f"include {tmp_path}/modules-enabled/*.conf; include /no/such/*.conf;") == ()


def test_a_missing_include_is_noted(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("\ninclude gone.conf; include mime.types; include none*.conf;")
    notes = Notes()
    assert read_tree(tmp_path / "nginx.conf", notes) == ()
    assert [str(n) for n in notes.of(Outcome.LEFT_OUT)] == [
        f"{tmp_path}/nginx.conf:2: include gone.conf: there is no such file here"
    ]
    assert [n.subject for n in notes.of(Outcome.NEEDLESS)] == ["include mime.types"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("http {\n server {\n}\n", 4, "the file ends within a block: a } is missing"),
        ("}\n", 1, 'unexpected "}"'),
        ("a;\n;", 2, 'unexpected ";"'),
        ("a;\nb c }", 2, '"b" needs ; or a block, found "}"'),
        ("a b", 1, '"a" needs ; or a block, found the end of the file'),
        ("a {" * 40, 1, "blocks nested deeper than 32"),
        ("include nginx.conf;", 1, "files included deeper than 16 levels"),
    ],
)
def test_what_is_wrong_has_a_place(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ImportRefusedError) as raised:
        _read(tmp_path, text)
    assert str(raised.value) == f"{tmp_path}/nginx.conf:{line}: {reason}"


def test_a_tree_of_includes_ends(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"files included deeper|more than 1000 included files"):
        _read(tmp_path, "include a.conf; include a.conf;", a="include nginx.conf; include nginx.conf;")


def test_too_much_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"nginx\.conf:1: more than 20000 directives"):
        _read(tmp_path, "a;" * 20_001)
    (tmp_path / "big.conf").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ImportRefusedError, match="larger than 4 MB"):
        read_tree(tmp_path / "big.conf", Notes())


@pytest.mark.parametrize("name", ["/dev/zero", "nothing.conf", "."])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImportRefusedError, match=r"not a file|no such file"):
        read_tree(tmp_path / name, Notes())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"a ", b"{", b"}", b";", b'"x"', b"#\n"])).map(b"".join)
)
def test_any_octets_give_a_tree_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.conf"
    file.write_bytes(content)
    complaint = f"{file}:"
    try:
        read_tree(file, Notes())
    except ImportRefusedError as exc:
        complaint = str(exc)
    assert complaint.startswith(f"{file}:")
