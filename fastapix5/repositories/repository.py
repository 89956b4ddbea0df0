"""The repository: a model's rows, its row policy, and the database's errors in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast, get_args, get_origin

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapper
from typing_extensions import TypeVar

from fastapix5.access import Access
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.models import soft_deletes
from fastapix5.repositories.conditions import Condition
from fastapix5.repositories.hints import hint
from fastapix5.repositories.policies import mark_repository_policy, register_policy
from fastapix5.repositories.queryset import QuerySet
from fastapix5.repositories.reads import Read
from fastapix5.repositories.rows import RowWriter, Written, writer_of
from fastapix5.repositories.shapes import Fact
from fastapix5.repositories.writes import deletes_directly, writes_directly
from fastapix5.schemas import mapper_of

M = TypeVar("M")
if TYPE_CHECKING:
    # What ``objects`` is: Repository[Flight, FlightQuerySet] names a queryset class of one's own.
    Rows = TypeVar("Rows", bound=QuerySet[Any], default=QuerySet[M])
else:
    # At run time a default that names M would leave a parameter in Repository[Flight].
    Rows = TypeVar("Rows", default=QuerySet)


class Repository(Generic[M, Rows]):
    """Reads and writes one model. Inside ``atomic`` it never commits; outside, each call is a transaction of its own.

    ``class FlightRepository(Repository[Flight])`` names its model; ``Repository(Flight)`` does for the plain one.
    ``Repository[Flight, FlightQuerySet]`` names the class of its querysets too, as ``queryset_class`` does.

    Args:
        model: The mapped class, where the class does not name it.
        using: The database alias.
    """

    model: type[M]
    queryset_class: ClassVar[type[QuerySet[Any]]] = QuerySet
    # Whether a statement without an access is refused; otherwise the policy is skipped there.
    policy_requires_access: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            arguments = get_args(base)
            if "model" not in cls.__dict__ and arguments and isinstance(arguments[0], type):
                cls.model = arguments[0]
            if "queryset_class" not in cls.__dict__ and len(arguments) > 1:
                cls.queryset_class = get_origin(arguments[1]) or arguments[1]
        if cls.row_policy is not Repository.row_policy:
            mark_repository_policy(cls.row_policy)
        model = getattr(cls, "model", None)
        if model is not None:
            cls._register_policy(model)

    @classmethod
    def _register_policy(cls, model: type[Any]) -> None:
        """Make the class's own row policy the model's."""
        if cls.row_policy is Repository.row_policy:
            if cls.policy_requires_access:
                where = f"{cls.__qualname__}.policy_requires_access"
                raise ImproperlyConfigured(where, "There is no row_policy that could need an access.", "Write one.")
            return

        def policy(access: Access) -> Condition | None:
            return cls(model).row_policy(access)

        where = f"{cls.__qualname__}.row_policy"
        register_policy(model, policy, cls.row_policy, where, requires_access=cls.policy_requires_access)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(hint("Repository", name, dir(type(self))))

    def __init__(self, model: type[M] | None = None, *, using: str = "default") -> None:
        if model is not None:
            self.model = model
        if model is not None or type(self).row_policy is not Repository.row_policy:
            self._register_policy(self.model)
        self.using = using
        self.mapper: Mapper[Any] = mapper_of(self.model)

    @property
    def _writer(self) -> RowWriter[M]:
        model: Any = self.model
        return writer_of(model, self.using)

    def row_policy(self, access: Access) -> Condition | None:
        """Override to say which rows an access may reach; None, the default, means all.

        The condition is ANDed into every statement of querysets and repositories that reaches the model; statements of one's
        own on the session are not narrowed.
        """
        return None

    @property
    def objects(self) -> Rows:
        """The model's rows, within reach of whoever asks; those that were deleted softly are hidden."""
        return self.all_objects.vary(shows_deleted=False)

    @property
    def all_objects(self) -> Rows:
        """``objects``, and the rows of a ``SoftDeleteMixin`` model that were deleted as well."""
        chosen: Any = self.queryset_class
        model: Any = self.model
        return cast("Rows", _all_rows(chosen, model, self.using))

    # Objects

    async def create(self, data: Mapping[str, Any]) -> M:
        """Insert a row and return its object.

        Args:
            data: Values by attribute.

        Raises:
            IntegrityViolation: A rule of the table does not hold; the class and ``fields`` say which.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        return await self._writer.create(data)

    async def update(self, instance: M, data: Mapping[str, Any]) -> M:
        """Write ``data`` (by attribute), and no other change, to the row of ``instance`` and return the refreshed object.

        Where the primary key changes, that may be another object. A related object is forgotten where its foreign key is
        written: touching the relation raises, as where it was never loaded.

        Args:
            instance: An object of the model.
            data: Values by attribute. A version is compared with the row's, and never written.

        Raises:
            TypeError: It is no object of the model.
            DoesNotExist: The row is gone.
            StaleVersion: The row was changed since it was read.
            IntegrityViolation: A rule of the table does not hold.
            RowPolicyViolation: The row would leave the current access's reach.
        """
        return await self._writer.update(instance, data)

    async def delete(self, instance: M) -> None:
        """Delete the row of ``instance``; with ``SoftDeleteMixin`` it is hidden, by one UPDATE, and stays.

        Raises:
            DoesNotExist: The row is gone, out of reach, or hidden already.
            StaleVersion: The row was changed since it was read.
            ProtectedRow: Other rows still refer to it.
        """
        await self._writer.delete(instance)

    async def purge(self, instance: M) -> None:
        """Delete the row of ``instance`` for good, whether it is hidden or not.

        Raises:
            DoesNotExist: The row is gone, or out of reach.
            StaleVersion: The row was changed since it was read.
            ProtectedRow: Other rows still refer to it.
        """
        await self._writer.purge(instance)

    async def restore(self, instance: M) -> M:
        """Bring back the row of ``instance``, which was deleted softly, and return the refreshed object.

        Raises:
            TypeError: The model has no ``SoftDeleteMixin``.
            DoesNotExist: The row is gone.
            StaleVersion: The row was changed since it was read.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        return await self._writer.restore(instance)

    async def check_reach(self, instance: M, within: Sequence[ColumnElement[bool]] = ()) -> None:
        """Refuse a row that its writer could not read; the transaction that wrote it has to end with the error.

        Args:
            instance: The object of the row, as it is written.
            within: Conditions that the row must meet besides the row policy.

        Raises:
            RowPolicyViolation: The row is not within the current access's reach.
        """
        await self._writer.check_reach(instance, within)

    # Single statements, for the generated API: no object is made

    @property
    def writes_directly(self) -> bool:
        """Whether one statement writes a whole object of this model."""
        return writes_directly(self.mapper)

    @property
    def deletes_directly(self) -> bool:
        """Whether one statement is all that deleting an object of this model means."""
        return writes_directly(self.mapper) if soft_deletes(self.model) else deletes_directly(self.mapper)

    async def insert_row(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool] | Fact] = (),
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Insert a row where every condition holds, and return what ``read`` shows of it; None where one does not.

        ``within`` is what the row must meet once it is written, besides the row policy.
        """
        return await self._writer.insert_row(data, read, where, within=within)

    async def update_rows(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool] | Fact],
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Write ``data`` to the one row that meets every condition, and return what ``read`` shows of it.

        ``within`` is what the row must meet once it is written, besides the row policy.

        Raises:
            MultipleObjectsReturned: Several rows meet them; none is changed.
        """
        return await self._writer.update_rows(data, read, where, within=within)

    async def delete_rows(self, where: Sequence[ColumnElement[bool] | Fact], *, several: bool = False) -> int:
        """Delete the row that meets every condition; return how many there were.

        Args:
            where: The conditions.
            several: Whether they may be met by more than one row.

        Raises:
            MultipleObjectsReturned: Several rows meet them, though ``several`` is not set; none is deleted.
            ProtectedRow: Other rows still refer to one of them.
        """
        return await self._writer.delete_rows(where, several=several)


@lru_cache(maxsize=1024)
def _all_rows(queryset_class: Any, model: Any, using: str) -> Any:
    """All rows within reach, as a queryset; one that never changes is made once."""
    return queryset_class(model, using, guarded=True)
