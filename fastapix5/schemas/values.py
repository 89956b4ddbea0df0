"""What a column's values are in Python when they are read, and whether a schema's field can show them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Strict, TypeAdapter, ValidationError
from sqlalchemy import types as sqltypes

from fastapix5.db.dialects import POSTGRESQL, is_postgresql, loaded
from fastapix5.schemas.bounds import python_type

TEXTS = ("MACADDR", "MACADDR8", "MONEY", "REGCLASS", "REGCONFIG", "TSQUERY", "TSVECTOR", "JSONPATH")

# The types that SQLAlchemy does not tell of, and those that are another one now and then.
READ_AS: tuple[tuple[Any, Any], ...] = (
    (sqltypes.JSON, Any),
    # SQLite gives whole numbers back as integers.
    (sqltypes.Numeric, lambda numeric: decimal.Decimal if numeric.asdecimal else Any),
    (sqltypes.ARRAY, lambda array: tuple if array.as_tuple else list),
)
# PostgreSQL's own.
POSTGRESQL_READ_AS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("DOMAIN",), lambda domain: value_type(domain.data_type)),
    (TEXTS, str),
    (("OID",), int),
    (("HSTORE",), dict),
    (("AbstractSingleRange",), lambda _: loaded(POSTGRESQL, "Range")[0]),
)

_DAY = dt.datetime(2020, 1, 31, 9, 30, tzinfo=dt.UTC)
_MIDNIGHT = dt.datetime(2020, 1, 31, tzinfo=dt.UTC)

# A value of text may be anything, so there is no example of it.
EXAMPLES: Mapping[Any, tuple[Any, ...]] = {
    bool: (True, False),
    int: (0, 1, 86_400),
    float: (0.0, 1.0, 1.5),
    decimal.Decimal: (decimal.Decimal(1), decimal.Decimal("1.5")),
    bytes: (b"1", b"1.5", b"true", b"2020-01-31", b"09:30:00", b"P1D", uuid.UUID(int=7).bytes, b"10.0.0.1"),
    dt.date: (_DAY.date(),),
    dt.datetime: (_DAY, _MIDNIGHT, _MIDNIGHT.replace(tzinfo=None)),
    dt.time: (_DAY.time(), _DAY.timetz()),
    dt.timedelta: (dt.timedelta(seconds=1), dt.timedelta(days=1)),
    uuid.UUID: (uuid.UUID(int=7),),
    dict: ({},),
    list: ([], [1], ["a"]),
    tuple: ((), (1,), ("a",)),
}
ADDRESSES = tuple(
    read(text)
    for read, texts in (
        (ipaddress.ip_address, ("10.0.0.1", "::1")),
        (ipaddress.ip_interface, ("10.0.0.1/8", "::1/64")),
    )
    for text in texts
)
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::/64"))

# A field of any other type may have its own idea of what it takes.
PLAIN = frozenset(
    {str, int, float, bool, bytes, decimal.Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID, dict, list}
    | {type(value) for value in (*ADDRESSES, *NETWORKS)}
)


def value_type(column_type: sqltypes.TypeEngine[Any]) -> Any:
    """The type that each of a column's values has when it is read, on both engines; ``Any`` where that is not certain."""
    variants = column_type._variant_mapping.values()  # noqa: SLF001 (there is no other way to ask)
    found = {_value_type(variant) for variant in (column_type, *variants)}
    return found.pop() if len(found) == 1 else Any


def _value_type(column_type: Any) -> Any:
    fits = [read_as for kind, read_as in READ_AS if isinstance(column_type, kind)]
    fits += [read_as for names, read_as in POSTGRESQL_READ_AS if is_postgresql(column_type, *names)]
    if fits:
        read_as = fits[0]
        return read_as if isinstance(read_as, type) or read_as is Any else read_as(column_type)
    if isinstance(column_type, sqltypes.TypeDecorator) and not _reads(type(column_type)):
        return value_type(column_type.impl_instance)
    return python_type(column_type)


def _reads(decorator: type[sqltypes.TypeDecorator[Any]]) -> bool:
    """Whether a decorator makes something of the values that it reads."""
    base = sqltypes.TypeDecorator
    own = (decorator.process_result_value, decorator.result_processor, decorator.python_type)
    return own != (base.process_result_value, base.result_processor, base.python_type)


def examples_of(column_type: sqltypes.TypeEngine[Any]) -> tuple[Any, ...]:
    """Values as a column of this type may give them; none where they may be anything."""
    if is_postgresql(column_type, "INET"):
        return ADDRESSES
    if is_postgresql(column_type, "CIDR"):
        return NETWORKS
    if is_postgresql(column_type, "AbstractMultiRange"):
        some_range, multirange = loaded(POSTGRESQL, "Range", "MultiRange")
        return (multirange([some_range(1, 2)]),)
    found = value_type(column_type)
    if found in loaded(POSTGRESQL, "Range"):
        return found(1, 2), found(empty=True)
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return tuple(found)
    return EXAMPLES.get(found, ())


def can_show(leaf: Any, column_type: sqltypes.TypeEngine[Any], config: ConfigDict, metadata: tuple[Any, ...]) -> bool:
    """Whether pydantic makes a ``leaf`` of any value of the column at all.

    Args:
        leaf: The field's type, without its None.
        column_type: The column's.
        config: The schema's: whether it is strict, whether numbers become text.
        metadata: What annotates the field; of this only strictness counts.
    """
    examples = examples_of(column_type) if leaf in PLAIN else ()
    if not examples or leaf is value_type(column_type):
        return True
    strict = tuple(item for item in metadata if isinstance(item, Strict))
    adapter = TypeAdapter(Annotated[(leaf, *strict)] if strict else leaf, config=config)
    return any(_is_valid(adapter, example) for example in examples)


def _is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
