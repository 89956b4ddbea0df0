"""The types of querysets and repositories, as a user's code sees them; ``make lint`` checks them."""

from __future__ import annotations

from typing import Any, Self, assert_type

from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import Count, F, Q, QuerySet, Repository, atomic


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "typed_users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    logins: Mapped[int] = mapped_column(default=0)


class UserRead(BaseModel):
    id: int
    email: str


class UserRepository(Repository[User]):
    pass


class UserQuerySet(QuerySet[User]):
    """Methods of a project's own."""

    def active(self) -> Self:
        """Users who ever logged in."""
        return self.filter(logins__gt=0)


class ActiveRepository(Repository[User, UserQuerySet]):
    pass


def a_queryset_is_of_its_model() -> None:
    """And every method that shapes it keeps its class."""
    objects = UserRepository().objects
    assert_type(objects, QuerySet[User])
    assert_type(Repository(User).objects, QuerySet[User])
    assert_type(QuerySet(User), QuerySet[User])
    assert_type(objects.filter(Q(id=1) | Q(id=2), User.id > 0, email__icontains="a"), QuerySet[User])
    assert_type(objects.exclude(id=F("logins") + 1), QuerySet[User])
    assert_type(objects.order_by("-email", F("id").asc(nulls_last=True), User.id), QuerySet[User])
    assert_type(objects.reverse(), QuerySet[User])
    assert_type(objects.distinct(), QuerySet[User])
    assert_type(objects.select_related("boss"), QuerySet[User])
    assert_type(objects.prefetch_related("boss"), QuerySet[User])
    assert_type(objects.only("email"), QuerySet[User])
    assert_type(objects.defer("email"), QuerySet[User])
    assert_type(objects.annotate(n=Count("id")), QuerySet[User])
    assert_type(objects.using("archive"), QuerySet[User])
    assert_type(objects.execution_options(x=1), QuerySet[User])
    assert_type(objects.select_for_update(skip_locked=True), QuerySet[User])
    assert_type(objects.none(), QuerySet[User])
    assert_type(objects[1:3], QuerySet[User])


def a_queryset_of_ones_own_keeps_its_class() -> None:
    """So its methods chain."""
    objects = ActiveRepository().objects
    assert_type(objects, UserQuerySet)
    assert_type(objects.filter(id=1), UserQuerySet)
    assert_type(objects.active().order_by("id").active()[:3], UserQuerySet)
    assert_type(objects.annotate(n=Count("id")).active().using("archive"), UserQuerySet)


async def objects_are_of_the_model() -> None:
    """One, none or many."""
    objects = UserRepository().objects
    assert_type(await objects.all(), list[User])
    assert_type(await objects, list[User])
    assert_type(await objects[0], User)
    assert_type(await objects.get(id=1), User)
    assert_type(await objects.get_or_none(id=1), User | None)
    assert_type(await objects.first(), User | None)
    assert_type(await objects.last(), User | None)
    async for user in objects:
        assert_type(user, User)
    assert_type([user.email async for user in objects], list[str])
    assert_type(await objects.in_bulk([1]), dict[Any, User])
    assert_type(await ActiveRepository().objects.active().get(), User)


async def facts_are_plain() -> None:
    """Numbers, truths, and what was asked for by name."""
    objects = UserRepository().objects
    assert_type(await objects.count(), int)
    assert_type(await objects.exists(), bool)
    assert_type(await objects.aggregate(n=Count("id")), dict[str, Any])
    assert_type(await objects.explain(analyze=True), str)


async def values_are_rows() -> None:
    """Dicts, tuples, or single values."""
    objects = UserRepository().objects
    assert_type(await objects.values("id"), list[dict[str, Any]])
    assert_type(await objects.values("id").filter(id=1).first(), dict[str, Any] | None)
    assert_type(await objects.values("id")[0], dict[str, Any])
    async for row in objects.values("id"):
        assert_type(row, dict[str, Any])
    assert_type(await objects.values_list("id", "email"), list[tuple[Any, ...]])
    assert_type(await objects.values_list("id", "email").get(), tuple[Any, ...])
    assert_type(await objects.values_list("id", flat=True), list[Any])
    assert_type(await objects.values("email").annotate(n=Count("id")), list[dict[str, Any]])


async def schemas_are_instances() -> None:
    """Or their bytes."""
    objects = UserRepository().objects
    assert_type(await objects.as_schema(UserRead), list[UserRead])
    assert_type(await objects.get_as(UserRead), UserRead)
    assert_type(await objects.as_json(UserRead), bytes)


async def writes_tell_what_they_did() -> None:
    """Objects, whether they are new, and how many rows there were."""
    objects = UserRepository().objects
    assert_type(await objects.create(email="a"), User)
    assert_type(await objects.get_or_create(email="a", defaults={"logins": 1}), tuple[User, bool])
    assert_type(await objects.update_or_create(email="a", defaults={"logins": 1}), tuple[User, bool])
    assert_type(await objects.update(logins=F("logins") + 1), int)
    assert_type(await objects.delete(), int)
    assert_type(
        await objects.bulk_create([User(email="a"), {"email": "b"}], batch_size=10, on_conflict="ignore"), list[User]
    )
    assert_type(await objects.bulk_update([User(id=1)], ["email"]), int)
    assert_type(await objects.upsert({"email": "a"}, unique_fields=["email"]), User)


async def repositories_write_objects() -> None:
    """Of their model."""
    repository = UserRepository()
    user = await repository.create({"email": "a"})
    assert_type(user, User)
    assert_type(await repository.update(user, {"email": "b"}), User)
    assert_type(repository.all_objects, QuerySet[User])


@atomic
async def decorated(number: int, *, name: str = "") -> User:
    """A function in a transaction keeps its signature."""
    return await UserRepository().objects.get(id=number, email=name)


async def atomic_keeps_signatures() -> None:
    """Bare and with arguments."""
    assert_type(await decorated(1, name="a"), User)

    @atomic(using="archive", durable=True)
    async def other(number: int) -> str:
        return str(number)

    assert_type(await other(1), str)


async def mistakes_are_seen() -> None:
    """mypy reports each of these, and an ignore that is not needed as well."""
    objects = UserRepository().objects
    _: int = await objects.get(id=1)  # type: ignore[assignment]
    await objects.values_list("id", "email", flat=True, named=True)  # type: ignore[call-overload]
    await objects.bulk_create([User(email="a")], on_conflict="replace")  # type: ignore[arg-type]
    (await objects.first()).email  # type: ignore[union-attr]  # noqa: B018
