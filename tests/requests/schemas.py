"""What leaves and what comes in."""

from __future__ import annotations

from pydantic import BaseModel, Field


class CompanyRead(BaseModel):
    id: int
    name: str
    slug: str
    vat: str | None


class CompanyCreate(BaseModel):
    name: str
    slug: str
    vat: str | None = None


class CompanyUpdate(BaseModel):
    name: str
    vat: str | None = None


class CompanyBrief(BaseModel):
    id: int
    name: str


class DepartmentRead(BaseModel):
    id: int
    company_id: int
    name: str
    budget: int | None
    hits: int


class DepartmentIn(BaseModel):
    company_id: int
    name: str
    budget: int | None = 1000


class DepartmentBrief(BaseModel):
    id: int
    name: str


class EmployeeRead(BaseModel):
    id: int
    department_id: int = Field(serialization_alias="departmentId")
    name: str
    mail: str = Field(alias="e-mail")
    salary: float | None


class EmployeeIn(BaseModel):
    name: str
    mail: str = Field(alias="e-mail")
    salary: float | None = None


class EmployeeDetail(BaseModel):
    id: int
    name: str
    department: DepartmentBrief


class CompanyDetail(BaseModel):
    id: int
    name: str
    departments: list[DepartmentBrief]


class BadgeRead(BaseModel):
    id: int
    holder: int


class BadgeIn(BaseModel):
    holder: int


class RoomRead(BaseModel):
    building: str
    number: int
    seats: int


class RoomIn(BaseModel):
    building: str
    number: int
    seats: int = 1


class RoomUpdate(BaseModel):
    seats: int


class DeskRead(BaseModel):
    id: int
    building: str
    number: int
    wood: str


class DeskIn(BaseModel):
    wood: str


class LabelRead(BaseModel):
    text: str


class LabelIn(BaseModel):
    text: str


class NoteRead(BaseModel):
    id: int
    label: str
    body: str


class NoteIn(BaseModel):
    body: str


class NoteMove(NoteIn):
    label: str


class CarRead(BaseModel):
    id: int
    company_id: int | None
    plate: str


class CarIn(BaseModel):
    company_id: int | None = None
    plate: str
