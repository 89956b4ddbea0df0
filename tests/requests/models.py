"""Companies with departments with employees, and a model for each oddity of keys and constraints."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Company(Base):
    __tablename__ = "companies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    vat: Mapped[str | None] = mapped_column(String(20))
    closed: Mapped[bool] = mapped_column(default=False)
    departments: Mapped[list[Department]] = relationship(back_populates="company", passive_deletes="all")


class Department(Base):
    __tablename__ = "departments"
    __table_args__ = (UniqueConstraint("company_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey(Company.id))
    name: Mapped[str] = mapped_column(String(40))
    budget: Mapped[int | None] = mapped_column(BigInteger)
    hits: Mapped[int] = mapped_column(default=0)
    company: Mapped[Company] = relationship(back_populates="departments")
    employees: Mapped[list[Employee]] = relationship(back_populates="department", passive_deletes="all")


class Employee(Base):
    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(primary_key=True)
    department_id: Mapped[int] = mapped_column(ForeignKey(Department.id))
    name: Mapped[str] = mapped_column(String(40))
    mail: Mapped[str] = mapped_column(String(60), unique=True)
    salary: Mapped[float | None]
    department: Mapped[Department] = relationship(back_populates="employees")


class Car(Base):
    """It may belong to nobody."""

    __tablename__ = "cars"

    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int | None] = mapped_column(ForeignKey(Company.id))
    plate: Mapped[str] = mapped_column(String(10))


class Badge(Base):
    """Its foreign key is checked at commit, on both engines."""

    __tablename__ = "badges"

    id: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[int] = mapped_column(ForeignKey(Employee.id, deferrable=True, initially="DEFERRED"))


class Room(Base):
    """A composite key, one half of it free text."""

    __tablename__ = "rooms"

    building: Mapped[str] = mapped_column(String(60), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    seats: Mapped[int] = mapped_column(default=1)


class Desk(Base):
    """Refers to a composite key."""

    __tablename__ = "desks"
    __table_args__ = (ForeignKeyConstraint(["building", "number"], [Room.building, Room.number]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    building: Mapped[str] = mapped_column(String(60))
    number: Mapped[int]
    wood: Mapped[str] = mapped_column(String(20))


class Label(Base):
    """A key of free text."""

    __tablename__ = "labels"

    text: Mapped[str] = mapped_column(String(60), primary_key=True)
    notes: Mapped[list[Note]] = relationship(passive_deletes="all")


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(ForeignKey(Label.text))
    body: Mapped[str] = mapped_column(String(60))
