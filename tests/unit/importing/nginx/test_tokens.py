"""The tokenizer: quotes, comments, escapes, variables, code; and whatever else a file may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.importing.errors import ImportRefusedError
from proxy.importing.nginx.tokens import Mark, Tokens

_WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=8)


def _all(text: str) -> list[tuple[str, int]]:
    tokens = Tokens(text, "f.conf")
    found = []
    while (token := tokens.take()).mark is not Mark.NOTHING:
        found.append((token.text, token.line))
    return found


def _words(text: str) -> list[str]:
    return [text for text, _ in _all(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen 80;", ["listen", "80", ";"]),
        ("server{listen 80;}", ["server", "{", "listen", "80", ";", "}"]),
        ("a b # c ; d\ne;", ["a", "b", "e", ";"]),
        ("a b#c;", ["a", "b#c", ";"]),
        ('a "b ; { c" \'d "e\';', ["a", "b ; { c", 'd "e', ";"]),
        ('a "say \\"hi\\"" it\'s;', ["a", 'say "hi"', "it's", ";"]),
        ("location ~ \\.php$ {", ["location", "~", "\\.php$", "{"]),
        ("set ${a}b $c{", ["set", "${a}b", "$c", "{"]),
        ("if ($host = a) {", ["if", "($host", "=", "a)", "{"]),
        ('log "" x;', ["log", "", "x", ";"]),
        ("\ufeffa;"[1:], ["a", ";"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert _words(text) == words


def test_lines_are_counted_in_comments_and_quotes_too() -> None:
    assert _all('a # x\n\n"b\nc" d\n;') == [("a", 1), ("b\nc", 3), ("d", 4), (";", 5)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('a;\nb "c', 'f.conf:2: the quote " that begins here does not end'),
        ("a 'b'c;", "f.conf:1: expected a space or ; after the closing '"),
        ("\n" + "x" * 65_537, "f.conf:2: a word of more than 65536 characters"),
    ],
)
def test_what_no_reader_understands_has_a_place(text: str, complaint: str) -> None:
    with pytest.raises(ImportRefusedError) as raised:
        _all(text)
    assert str(raised.value) == complaint


@pytest.mark.parametrize("code", ["}", ' x = "}" -- }\n }', "if a then b = {c = '{'} end }", "-- it's\n}"])
def test_code_is_passed_over(code: str) -> None:
    tokens = Tokens(code + " after", "f.conf")
    tokens.skip_code()
    assert tokens.take().text == "after"


def test_code_that_does_not_end() -> None:
    tokens = Tokens("\n x = {", "f.conf")
    with pytest.raises(ImportRefusedError, match=r"f\.conf:1: the block of code"):
        tokens.skip_code()


@given(_WORDS, st.sampled_from("\"'"))
def test_any_words_survive_quoting(words: list[str], quote: str) -> None:
    def quoted(word: str) -> str:
        return quote + word.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote

    assert _words(" ".join(map(quoted, words)) + ";") == [*words, ";"]


@given(st.text(st.sampled_from("ab \n\t;{}\"'#\\$-"), max_size=60) | st.text(max_size=60))
def test_any_text_gives_tokens_or_a_refusal_with_its_line(text: str) -> None:
    complaint, lines = "f.conf:", []
    try:
        lines = [line for _, line in _all(text)]
    except ImportRefusedError as exc:
        complaint = str(exc)
    assert complaint.startswith("f.conf:")
    assert lines == sorted(lines)
