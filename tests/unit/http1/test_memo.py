"""The memo is bounded and never keeps what is not worth its place."""

from proxy.http1.memo import MAX_OCTETS, MAX_SECTION, FieldMemo


def test_the_oldest_give_way() -> None:
    memo: FieldMemo[int] = FieldMemo()
    sections = [b"%04d" % i + b"x" * 1000 for i in range(MAX_OCTETS // 1000 + 10)]
    for number, section in enumerate(sections):
        memo.put(section, number)
    assert memo.get(sections[0]) is None
    assert memo.get(sections[-1]) == len(sections) - 1
    assert sum(map(len, memo)) <= MAX_OCTETS


def test_long_sections_are_not_kept() -> None:
    memo: FieldMemo[int] = FieldMemo()
    memo.put(b"x" * (MAX_SECTION + 1), 1)
    assert not memo


def test_putting_again_counts_once_and_forgetting_starts_anew() -> None:
    memo: FieldMemo[int] = FieldMemo()
    for _ in range(10_000):
        memo.put(b"a", 1)
    assert memo.get(b"a") == 1
    memo.forget()
    assert not memo
    memo.put(b"b", 2)
    assert memo.get(b"b") == 2
