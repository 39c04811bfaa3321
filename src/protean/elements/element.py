"""What every declared class has in common: its description, and how its instances are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import pydantic

from protean.elements.complaints import complaints, not_a_field
from protean.elements.replaying import is_replaying, values_again
from protean.elements.stored import Stored
from protean.exceptions import ConfigurationError, ValidationError
from protean.fields import FieldSpec
from protean.fields.associations import Association
from protean.fields.spec import Embeddable


class ElementKind(StrEnum):
    AGGREGATE = "aggregate"
    COMMAND = "command"
    EVENT = "event"
    ENTITY = "entity"
    VALUE_OBJECT = "value object"
    PROJECTION = "projection"
    COMMAND_HANDLER = "command handler"
    EVENT_HANDLER = "event handler"
    PROJECTOR = "projector"
    REPOSITORY = "repository"
    PROCESS_MANAGER = "process manager"
    SUBSCRIBER = "subscriber"
    DOMAIN_SERVICE = "domain service"
    APPLICATION_SERVICE = "application service"
    QUERY = "query"
    QUERY_HANDLER = "query handler"
    UPCASTER = "upcaster"
    DATABASE_MODEL = "database model"


@dataclass(frozen=True, slots=True)
class Columns:
    """How instances become rows and back, worked out once per class.

    `names` pairs each field with its column. `dumps` and `loads` list the few columns whose stored value
    differs from the field's, or must be a copy of it: enums, lists, dicts. `embedded` are the fields kept in several.
    """

    names: tuple[tuple[str, str], ...]
    dumps: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    loads: tuple[tuple[str, Callable[[Any], Any]], ...]
    embedded: tuple[Embedded, ...] = ()

    def of(self, fields: Collection[str]) -> frozenset[str]:
        """The columns of these fields."""
        columns = {column for name, column in self.names if name in fields}
        for each in self.embedded:
            if each.name in fields:
                columns.update(column for _, column in each.columns)
        return frozenset(columns)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A field whose value object is taken apart: `columns` pairs the value's own columns, as in `inner`, with ours."""

    name: str
    value: type[Embeddable]
    inner: Columns
    columns: tuple[tuple[str, str], ...]
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementInfo:
    """The description of a declared class, found under its `__protean__`.

    `identity` names the identifying field; `stream_category`, `schema_name` and `provider` say where an
    aggregate or projection is kept. `part_of` may be a name until the registry has resolved it.
    `holders` are the classes and their fields that hold an entity, once the registry has resolved them.
    `computed` names the method behind each field that is not stored.
    `stored` is what a database model says about its table.
    `version` is the schema version of an event or command. `options` are those given to the decorator.
    """

    name: str
    kind: ElementKind
    module: str
    fields: Mapping[str, FieldSpec] = field(default_factory=dict)
    associations: Mapping[str, Association] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    identity: str | None = None
    stream_category: str = ""
    schema_name: str = ""
    provider: str = "default"
    part_of: type | str | None = None
    holders: tuple[tuple[type, str], ...] = ()
    version: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Columns = field(default=Columns((), (), ()), repr=False, compare=False)
    stored: Stored = field(default=Stored(), repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.module})"


class Element(pydantic.BaseModel):
    """The base that the compiler puts under aggregates, commands, events and projections."""

    # Bases have no instances, so they need no validators; the compiler has those of declared classes built at once.
    model_config = pydantic.ConfigDict(
        extra="forbid", validate_default=True, protected_namespaces=(), ignored_types=(FieldSpec,), defer_build=True
    )
    __protean__: ClassVar[ElementInfo]

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse subclasses of compiled classes: whose fields would be whose, and in which table?"""
        super().__init_subclass__(**options)
        for base in cls.__bases__:
            if "__protean__" in base.__dict__:
                raise ConfigurationError(
                    f"{cls.__name__} inherits from the {info_of(base).kind} {base.__name__}; put the fields "
                    "they share into a plain, undecorated class and let both inherit from that"
                )

    def __init__(self, /, **values: Any) -> None:
        try:
            self.__pydantic_validator__.validate_python(values, self_instance=self)
        except pydantic.ValidationError as error:
            _construct_again(self, values, None, error)

    # Tells pydantic that this constructor only validates, so that decoding need not go through it.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark


class StatefulElement(Element):
    """What aggregates and projections add: they change field by field, and are equal by identity."""

    model_config = pydantic.ConfigDict(validate_assignment=True)

    def model_post_init(self, _context: Any, /) -> None:
        """Called by pydantic at the end of construction."""
        object.__setattr__(self, "__pydantic_private__", history())

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except pydantic.ValidationError as error:
            raise _refused(self, error) from None
        except ValueError:
            if name in self.__protean__.fields or hasattr(type(self), name):
                raise  # a property's own
            unknown = not_a_field(name, type(self).__name__, self.__protean__.fields)
            raise ValidationError({name: [unknown]}) from None

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return identity_of(self) == identity_of(other)

    def __hash__(self) -> int:
        return hash((type(self), identity_of(self)))


def construct(element: Element, values: Mapping[str, Any], context: Any = None) -> None:
    """Fill a new object with these values; `context` is what its `model_post_init` gets. Raises ValidationError."""
    try:
        element.__pydantic_validator__.validate_python(values, self_instance=element, context=context)
    except pydantic.ValidationError as error:
        _construct_again(element, values, context, error)


def _refused(element: Element, error: pydantic.ValidationError) -> ValidationError:
    return ValidationError(complaints(error, type(element).__name__, element.__protean__.fields))


def _construct_again(
    element: Element, values: Mapping[str, Any], context: Any, error: pydantic.ValidationError
) -> None:
    """As history has it, while that is replayed. Raises ValidationError otherwise."""
    if not is_replaying() or not values.keys() <= element.__protean__.fields.keys():
        raise _refused(element, error) from None
    object.__setattr__(element, "__dict__", values_again(type(element), values))
    object.__setattr__(element, "__pydantic_fields_set__", set(values))
    object.__setattr__(element, "__pydantic_extra__", None)
    object.__setattr__(element, "__pydantic_private__", None)
    element.model_post_init(context)


def history(row: Mapping[str, Any] | None = None, version: int = -1) -> dict[str, Any]:
    """What an object carries beside its fields: the row it was last read from or written to, how often it was
    saved, and the events it has raised since.

    It lies where pydantic keeps private attributes, and so is copied and pickled with the object, but is not
    declared as such: pydantic takes a microsecond to set three defaults.
    """
    return {"_loaded": row, "_saved": version, "_events": []}


def identity_of(element: StatefulElement) -> str | int:
    """What tells this aggregate or projection from all others of its class."""
    identity: str | int = element.__dict__[element.__protean__.identity or ""]
    return identity


def info_of(cls: type) -> ElementInfo:
    """The description of a declared class. Raises ConfigurationError when it was never declared."""
    info = cls.__dict__.get("__protean__")
    if not isinstance(info, ElementInfo):
        raise ConfigurationError(f"{cls.__qualname__} was not declared with a decorator of a domain")
    return info
