"""A class as declared into the class that runs: once, at import; nothing is looked up by name later."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType, MappingProxyType, new_class
from typing import Any, ClassVar, Final, TypeVar, get_origin

import pydantic
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from protean.elements.abstract import check_inherited
from protean.elements.aggregate import AggregateElement
from protean.elements.associations import Owning
from protean.elements.columns import columns_for
from protean.elements.complaints import complaints
from protean.elements.computed import computed_fields, reading
from protean.elements.element import Element, ElementInfo
from protean.elements.entity import EntityElement
from protean.elements.guarding import Guarded
from protean.elements.invariants import Rules, Sound, rules_of
from protean.elements.numbering import NextNumber, check_counted
from protean.elements.transitions import transitions_of
from protean.elements.unchanging import UnchangingElement
from protean.elements.value_object import ValueObjectElement
from protean.exceptions import ConfigurationError
from protean.fields.annotations import spec_of_annotation
from protean.fields.associations import Association
from protean.fields.functions import FIELD_FUNCTIONS
from protean.fields.spec import MISSING, FieldKind, FieldSpec
from protean.fields.validation import annotation_of
from protean.identities import new_identity

E = TypeVar("E", bound=Element)

#: Names that pydantic or the bases of elements need for themselves.
RESERVED: Final = frozenset(
    {"raise_", "to_dict", *(name for name in dir(pydantic.BaseModel) if name.startswith("model_"))}
)

#: The identity of an aggregate that declares none.
GENERATED_ID: Final = FieldSpec(
    kind=FieldKind.IDENTIFIER,
    required=True,
    identifier=True,
    default=new_identity,
    min_length=1,
    max_length=255,
)


#: Where a class keeps its own fields once they have been taken off it.
_OWN: Final = "__protean_fields__"


def declared_fields(cls: type) -> dict[str, FieldSpec]:
    """The fields of a class and of the plain classes it inherits from, the latter first.

    Takes them off the classes, so that what remains are methods and constants. Raises ConfigurationError
    naming field and class.
    """
    fields: dict[str, FieldSpec] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("protean.elements."):
            fields.update(_own_fields(base))
    return fields


def with_identity(cls: type, fields: dict[str, FieldSpec], *, generated: bool) -> tuple[dict[str, FieldSpec], str]:
    """The fields and the name of the one that identifies: the one marked so, else `id`.

    Where there is neither, an `id` with a random UUID is added, if `generated` allows.
    """
    marked = [name for name, spec in fields.items() if spec.identifier]
    if len(marked) > 1:
        raise ConfigurationError(f"{cls.__name__} has several identifiers: {', '.join(marked)}; mark one")
    if marked:
        return fields, marked[0]
    if "id" in fields:
        try:
            identity = replace(fields["id"], identifier=True, required=True)
        except ConfigurationError as error:
            raise ConfigurationError(f"`id` of {cls.__name__}: {error}") from None
        return {**fields, "id": identity}, "id"
    if generated:
        return {"id": GENERATED_ID, **fields}, "id"
    raise ConfigurationError(
        f"{cls.__name__} has no identity; mark the field that is, as in `id = Identifier(identifier=True)`"
    )


def compile_class(cls: type, base: type[E], info: ElementInfo) -> type[E]:
    """A class with pydantic under it: the user's methods, then the element's, then pydantic's."""
    check_inherited(cls, info.kind)
    frozen = issubclass(base, UnchangingElement)
    computed = computed_fields(cls, info.fields)
    fields = {name: spec for name, spec in info.fields.items() if name not in computed}
    check_counted(info, base)
    counting = NextNumber()
    namespace: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "model_config": pydantic.ConfigDict(defer_build=False),
        "__annotations__": {name: annotation_of(spec, frozen=frozen) for name, spec in fields.items()},
        **{name: _field_info(spec, counting) for name, spec in fields.items()},
        **{name: reading(name, method) for name, method in computed.items()},
        **_checks(cls, base, fields),
    }
    with warnings.catch_warnings():
        # A field may be called `json` or `copy`: those methods of pydantic's are deprecated, and unused here.
        warnings.filterwarnings("ignore", "Field name .* shadows an attribute in parent", UserWarning)
        bases = _bases(cls, base, info, namespace)
        compiled: type[E] = new_class(cls.__name__, bases, exec_body=lambda body: body.update(namespace))
    counting.cls = compiled
    compiled.__protean__ = replace(
        info,
        fields=MappingProxyType(fields),
        computed=MappingProxyType(computed),
        columns=columns_for(cls.__name__, fields, frozen=frozen),
    )
    _check_defaults(compiled, fields)
    return compiled


def _checks(cls: type, base: type[Element], fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """What a class has to look at besides its fields one by one; nothing for most."""
    rules, moves = rules_of(cls), transitions_of(fields)
    found: dict[str, Any] = {}
    if rules != Rules():
        if not issubclass(base, AggregateElement | EntityElement | ValueObjectElement):
            raise ConfigurationError(
                f"{cls.__name__} has invariants, which are for aggregates, entities and value objects; validate its "
                "fields one by one, with `validators`"
            )
        if rules.pre and issubclass(base, ValueObjectElement):
            raise ConfigurationError(f"{cls.__name__} never changes, so nothing comes before a change: @invariant.post")
        found["__rules__"] = rules
    if moves and not issubclass(base, UnchangingElement):
        found["__moves__"] = moves
    return found


def _bases(cls: type, base: type[Element], info: ElementInfo, namespace: Mapping[str, Any]) -> tuple[type, ...]:
    """Only what has something to check pays for checks; an entity always may: its root has rules that it can break."""
    checked = "__rules__" in namespace or "__moves__" in namespace or issubclass(base, EntityElement)
    checks: tuple[type, ...] = (Sound if issubclass(base, UnchangingElement) else Guarded,) if checked else ()
    owning: tuple[type, ...] = (Owning,) if info.associations else ()
    return (cls, *checks, *owning, base)


def _own_fields(cls: type) -> Mapping[str, FieldSpec]:
    if _OWN in cls.__dict__:
        own: Mapping[str, FieldSpec] = cls.__dict__[_OWN]
        return own
    assigned = {name: value for name, value in vars(cls).items() if isinstance(value, FieldSpec)}
    for name, value in vars(cls).items():
        _refuse_association(cls, name, value)
    raw = inspect.get_annotations(cls)
    annotated = {
        name: annotation
        for name, annotation in evaluated(cls, raw, skip={*raw, *assigned}).items()
        if annotation is not ClassVar and get_origin(annotation) is not ClassVar
    }
    fields = {name: _field(cls, name, annotation) for name, annotation in annotated.items()}
    fields |= {name: value for name, value in assigned.items() if name not in fields}
    if fields:
        for name in fields:
            _check_name(name, cls)
            if name in cls.__dict__:
                delattr(cls, name)
        cls.__annotations__ = {name: raw[name] for name in raw if name not in fields}
        setattr(cls, _OWN, fields)
    return fields


def _field(cls: type, name: str, annotation: Any) -> FieldSpec:
    """One annotated field: `name: annotation`, or `name: annotation = value`."""
    value = cls.__dict__.get(name, MISSING)
    _refuse_association(cls, name, annotation)
    if isinstance(value, FieldSpec) and value.kind is FieldKind.METHOD:
        return value  # whatever the method returns
    try:
        spec = _annotated(annotation)
        if isinstance(value, FieldSpec):
            return _both(spec, value)
    except ConfigurationError as error:
        raise ConfigurationError(f"`{name}` of {cls.__name__}: {error}") from None
    if isinstance(value, FieldInfo):
        raise ConfigurationError(
            f"`{name}` of {cls.__name__}: use a function of protean.fields instead of pydantic's Field"
        )
    return spec if value is MISSING else replace(spec, default=value)


def _refuse_association(cls: type, name: str, value: object) -> None:
    """Aggregates and entities have theirs taken off before their fields are looked at."""
    if isinstance(value, Association):
        raise ConfigurationError(
            f"`{name}` of {cls.__name__}: {value.bond} is for aggregates and entities; what is sent or read holds "
            f"values: List(ValueObject(…)) for several, ValueObject(…) for one, Identifier() for who "
            f"{value.target_name} is"
        )


def _annotated(annotation: Any) -> FieldSpec:
    if annotation in FIELD_FUNCTIONS:
        raise ConfigurationError(f"{annotation.__name__} is a function; write {annotation.__name__}()")
    return annotation if isinstance(annotation, FieldSpec) else spec_of_annotation(annotation)


def _both(annotated: FieldSpec, called: FieldSpec) -> FieldSpec:
    """`name: str = String(…)`: the function describes the field, the annotation must agree with it."""
    families = [
        {FieldKind.STRING, FieldKind.TEXT, FieldKind.IDENTIFIER},
        {FieldKind.VALUE, FieldKind.OBJECT},
        *({kind} for kind in FieldKind),
    ]
    if not any({annotated.kind, called.kind} <= family for family in families):
        raise ConfigurationError(f"the annotation says {annotated.kind}, the value {called.kind}")
    for said, meant in ((annotated.value, called.value), (annotated.enum, called.enum)):
        if said is not None and meant is not None and said is not meant:
            raise ConfigurationError(f"the annotation says {said.__name__}, the value {meant.__name__}")
    enum = annotated.enum or called.enum
    return replace(
        called,
        enum=enum,
        choices=() if enum else called.choices or annotated.choices,
        content=called.content or annotated.content,
    )


def _check_name(name: str, cls: type) -> None:
    if name.startswith("_"):
        raise ConfigurationError(
            f"`{name}` of {cls.__name__}: a field's name cannot begin with an underscore; "
            "annotate it as ClassVar when it is not a field"
        )
    if name in RESERVED:
        raise ConfigurationError(f"`{name}` of {cls.__name__}: this name is the framework's own; take another")


def evaluated(cls: type, raw: Mapping[str, Any], skip: set[str]) -> dict[str, Any]:
    """The annotations, with those given as text evaluated where the class was written.

    Names are looked up in the module, in the function around the class and in its body; not among the
    fields, so that `date: date | None = None` means the type.
    """
    if not any(isinstance(annotation, str) for annotation in raw.values()):
        return dict(raw)
    module = sys.modules.get(cls.__module__)
    namespace = dict(vars(module)) if module else {}
    namespace.update(_names_around())
    namespace.update((name, value) for name, value in vars(cls).items() if name not in skip)
    return {name: _evaluate(cls, name, annotation, namespace) for name, annotation in raw.items()}


def _evaluate(cls: type, name: str, annotation: Any, namespace: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, namespace)  # noqa: S307 -- the user's own source text
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigurationError(f"`{name}: {annotation}` of {cls.__name__}: {error}") from None


def _names_around() -> Mapping[str, Any]:
    """The local names where the decorator is used, so that classes may be declared inside a function."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- the interpreter's name for it
    while frame is not None and frame.f_globals.get("__name__", "").startswith("protean."):
        frame = frame.f_back
    return {} if frame is None else frame.f_locals


def _field_info(spec: FieldSpec, counting: NextNumber) -> Any:
    options: dict[str, Any] = {"description": spec.description}
    if spec.identifier:
        options["frozen"] = True
    if spec.increment:
        return pydantic.Field(default_factory=counting, **options)
    if callable(spec.default):
        return pydantic.Field(default_factory=spec.default, **options)
    if spec.default is not MISSING:
        return pydantic.Field(default=spec.default, **options)
    return pydantic.Field(**options) if spec.required else pydantic.Field(default=None, **options)


def _check_defaults(compiled: type[Element], fields: Mapping[str, FieldSpec]) -> None:
    """A default that its own field refuses is found here, not by the first user who relies on it."""
    for name, spec in fields.items():
        if spec.default in (MISSING, None) or callable(spec.default):
            continue
        try:
            TypeAdapter(annotation_of(spec)).validate_python(spec.default)
        except pydantic.ValidationError as error:
            texts = complaints(error, compiled.__name__, fields, within=name)
            raise ConfigurationError(
                f"the default of `{name}` in {compiled.__name__} {'; '.join(texts[name])}"
            ) from None
