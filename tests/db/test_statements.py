"""Facts about what a failed statement tells of itself."""

from __future__ import annotations

import pytest

from fastapix5.db.statements import NO_STATEMENT, Statement, read_statement

UNDERSTOOD: list[tuple[str, Statement]] = [
    (
        "INSERT INTO book (book_title, price) VALUES ($1::VARCHAR(5), $2::NUMERIC(5, 2)) RETURNING book.id",
        Statement("INSERT", "book", ("book_title", "price"), {1: "book_title", 2: "price"}),
    ),
    ("INSERT INTO book (a, b) VALUES (?, ?)", Statement("INSERT", "book", ("a", "b"), {1: "a", 2: "b"})),
    (
        (
            "INSERT INTO t (a, b) SELECT p0::VARCHAR, p1::INTEGER FROM (VALUES ($1::VARCHAR, $2::INTEGER, 0), "
            "($3::VARCHAR, $4::INTEGER, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING t.id"
        ),
        Statement("INSERT", "t", ("a", "b"), {1: "a", 2: "b"}),
    ),
    (
        "INSERT INTO t (a, b) SELECT ?, ?\nWHERE EXISTS (SELECT 1 FROM u WHERE u.id = ?)",
        Statement("INSERT", "t", ("a", "b"), {1: "a", 2: "b"}),
    ),
    (
        'UPDATE s."My ""Order" SET "group"=$1::VARCHAR, n=(coalesce(x.n, 1) + $2::INTEGER), "Parent Id"=$3 WHERE x.id = $4',
        Statement("UPDATE", 'My "Order', ("group", "n", "Parent Id"), {1: "group", 2: "n", 3: "Parent Id"}),
    ),
    ("UPDATE t SET a=?, b=(t.b + ?) WHERE c = ?", Statement("UPDATE", "t", ("a", "b"), {1: "a", 2: "b"})),
    ("DELETE FROM t WHERE t.id = ?", Statement("DELETE", "t")),
]


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD)
def test_a_write_tells_its_table_and_columns(text: str, expected: Statement) -> None:
    """And for which column each argument was."""
    assert read_statement(text) == expected


@pytest.mark.parametrize(
    "text", [None, "", "SELECT 1", "COMMIT", "WITH x AS (SELECT 1) DELETE FROM t", "INSERT INTO t DEFAULT VALUES"]
)
def test_of_any_other_statement_nothing_is_known(text: str | None) -> None:
    """Rather nothing than something wrong."""
    assert read_statement(text) == NO_STATEMENT


def test_an_argument_of_a_later_row_is_for_the_same_column() -> None:
    """Rows have the same columns."""
    statement = read_statement("INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)")
    assert [statement.column_of(number) for number in (1, 2, 3, 4)] == ["a", "b", "a", "b"]
    assert read_statement("UPDATE t SET a=$1 WHERE b = $2").column_of(2) is None
