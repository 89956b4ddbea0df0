"""What enters and leaves, for the contenders that use pydantic."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=100)]
Salary = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]
Rating = Annotated[float, Field(ge=0, le=5)]


class Schema(BaseModel):
    """The root of the schemas: readable from model instances."""

    model_config = ConfigDict(from_attributes=True)


class CompanyRead(Schema):
    """A company."""

    id: int
    name: str


class DepartmentRead(Schema):
    """A department."""

    id: int
    name: str


class SkillRead(Schema):
    """What somebody can do."""

    id: int
    name: str


class EmployeeRead(Schema):
    """An employee: all eight columns."""

    id: int
    name: str
    salary: Decimal
    rating: float
    active: bool
    hired: dt.date
    seen_at: dt.datetime
    department_id: int


class ProfileRead(EmployeeRead):
    """An employee with the to-one and the to-many relation."""

    department: DepartmentRead
    skills: list[SkillRead]


class EmployeeWrite(Schema):
    """A new employee, or one as it should be from now on."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    salary: Salary
    rating: Rating
    active: bool
    hired: dt.date
    seen_at: AwareDatetime
    department_id: int


class EmployeeChange(Schema):
    """What of an employee should change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    salary: Salary | None = None
    rating: Rating | None = None
    active: bool | None = None
    hired: dt.date | None = None
    seen_at: AwareDatetime | None = None
    department_id: int | None = None
