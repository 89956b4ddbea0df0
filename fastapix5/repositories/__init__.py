"""Data: querysets, their lookups and conditions, compiled reads, and the repository that owns a model's rows."""

from fastapix5.repositories.conditions import Condition, Q, to_sql
from fastapix5.repositories.expressions import Aggregate, Avg, Count, Expression, F, Max, Min, Ordering, Sum
from fastapix5.repositories.lookups import Path, UnknownPath, many_on, resolve, walk
from fastapix5.repositories.policies import (
    RowPolicy,
    forget_policies,
    policy_condition,
    register_policy,
    register_reading,
    unrestricted,
)
from fastapix5.repositories.queryset import QuerySet
from fastapix5.repositories.reads import Read
from fastapix5.repositories.repository import Repository
from fastapix5.repositories.vocabulary import ALIASES, LOOKUPS, Lookup, Operand, register_lookup
from fastapix5.repositories.writes import row_key

__all__ = [
    "ALIASES",
    "LOOKUPS",
    "Aggregate",
    "Avg",
    "Condition",
    "Count",
    "Expression",
    "F",
    "Lookup",
    "Max",
    "Min",
    "Operand",
    "Ordering",
    "Path",
    "Q",
    "QuerySet",
    "Read",
    "Repository",
    "RowPolicy",
    "Sum",
    "UnknownPath",
    "forget_policies",
    "many_on",
    "policy_condition",
    "register_lookup",
    "register_policy",
    "register_reading",
    "resolve",
    "row_key",
    "to_sql",
    "unrestricted",
    "walk",
]
