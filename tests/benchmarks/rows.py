"""The rows: made by PostgreSQL from their numbers, so that every run has the same."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.benchmarks.models import Base
from tests.servers import Server

COMPANIES, DEPARTMENTS, EMPLOYEES, SKILLS_EACH = 20, 200, 20_000, 2
PAGE = 50

_FILL = (
    f"INSERT INTO companies (id, name) SELECT n, 'Company ' || n FROM generate_series(1, {COMPANIES}) n",
    f"""INSERT INTO departments (id, name, company_id)
        SELECT n, 'Department ' || n, n % {COMPANIES} + 1 FROM generate_series(1, {DEPARTMENTS}) n""",
    f"""INSERT INTO employees (id, name, salary, rating, active, hired, seen_at, department_id)
        SELECT n, 'Employee ' || n, (n * 7919 % 9000000 + 1000000) / 100.0, (n * 37 % 49) / 10.0, n % 21 <> 0,
               DATE '2000-01-01' + n * 13 % 9000, TIMESTAMPTZ '2026-01-01 00:00:00Z' + n * INTERVAL '61 s',
               n % {DEPARTMENTS} + 1
        FROM generate_series(1, {EMPLOYEES}) n""",
    f"""INSERT INTO skills (name, employee_id)
        SELECT 'Skill ' || n % 97, n % {EMPLOYEES} + 1 FROM generate_series(1, {EMPLOYEES * SKILLS_EACH}) n""",
    *(
        f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"
        for table in ("companies", "departments", "employees")
    ),
    # A vacuum in the middle of a sample would be one contender's bad luck; `restore` runs it between samples.
    *(f"ALTER TABLE {table} SET (autovacuum_enabled = false)" for table in ("employees", "skills")),
)

_RESTORE = f"DELETE FROM employees WHERE id > {EMPLOYEES}"

# The state of the written table, wherever its rows lie.
_DIGEST = "SELECT md5(string_agg(e::text, ',' ORDER BY id)) FROM employees e"


def is_active(number: int) -> bool:
    """Whether the employee of that number is one that the secured contenders show."""
    return number % 21 != 0


def company_of(department: int) -> int:
    """The company that a department belongs to."""
    return department % COMPANIES + 1


def tables() -> list[str]:
    """The statements that make the tables."""
    metadata, dialect = Base.metadata, make_url("postgresql+asyncpg://").get_dialect()()
    made = [CreateTable(table).compile(dialect=dialect) for table in metadata.sorted_tables]
    indexed = [
        CreateIndex(index).compile(dialect=dialect) for table in metadata.sorted_tables for index in table.indexes
    ]
    return [str(statement) for statement in (*made, *indexed)]


def make_template(server: Server, database: str) -> None:
    """Make a database with every row in it."""
    server.run(f'CREATE DATABASE "{database}" TEMPLATE template0')
    for statement in (*tables(), *_FILL):
        server.run(statement, database=database)
    server.run("VACUUM (ANALYZE)", database=database)


def copy_template(server: Server, template: str, database: str) -> None:
    """Make a database that is a copy of another."""
    server.run(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')


def insert_doomed(server: Server, database: str, first: int, count: int) -> None:
    """Insert rows with numbers from ``first`` up, for a contender to delete."""
    server.run(
        f"""INSERT INTO employees (id, name, salary, rating, active, hired, seen_at, department_id)
            SELECT n, 'Employee ' || n, 10, 1, true, DATE '2020-01-01', TIMESTAMPTZ '2026-01-01 00:00:00Z', 1
            FROM generate_series({first}, {first + count - 1}) n""",
        database=database,
    )


def restore(server: Server, database: str) -> None:
    """Take the rows that were created out again, and leave the table as tidy as it was."""
    server.run(_RESTORE, database=database)
    server.run("VACUUM (ANALYZE) employees", database=database)


def digest(server: Server, database: str) -> str:
    """Return a digest of the measured table."""
    return str(server.fetch(_DIGEST, database=database)[0][0])
