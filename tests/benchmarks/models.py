"""The tables that every contender serves; those built on SQLAlchemy share these classes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import DateTime, ForeignKey, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """The root of the models."""


class Company(Base):
    """Two levels above the employees."""

    __tablename__ = "companies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))

    departments: Mapped[list[Department]] = relationship(back_populates="company")


class Department(Base):
    """The to-one relation of an employee."""

    __tablename__ = "departments"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id"), index=True)

    company: Mapped[Company] = relationship(back_populates="departments")
    employees: Mapped[list[Employee]] = relationship(back_populates="department")


class Employee(Base):
    """The measured table: eight columns of seven types."""

    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    salary: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    rating: Mapped[float]
    active: Mapped[bool]
    hired: Mapped[dt.date]
    seen_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    department_id: Mapped[int] = mapped_column(ForeignKey("departments.id"), index=True)

    department: Mapped[Department] = relationship(back_populates="employees")
    skills: Mapped[list[Skill]] = relationship(
        back_populates="employee", order_by="Skill.id", cascade="all, delete-orphan", passive_deletes=True
    )


class Skill(Base):
    """The to-many relation of an employee."""

    __tablename__ = "skills"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    employee_id: Mapped[int] = mapped_column(ForeignKey("employees.id", ondelete="CASCADE"), index=True)

    employee: Mapped[Employee] = relationship(back_populates="skills")
