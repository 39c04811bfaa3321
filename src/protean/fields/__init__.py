"""What an aggregate, command, event or projection consists of.

name: String(max_length=50)          # a field function as annotation
name = String(max_length=50)         # … or as value
name: str = String(max_length=50)    # … or both, which type checkers understand
name: str                            # … or a plain annotation
"""

from protean.fields.associations import HasMany, HasOne, Reference
from protean.fields.functions import (
    Auto,
    Boolean,
    Date,
    DateTime,
    Decimal,
    Dict,
    Float,
    Identifier,
    Integer,
    List,
    Method,
    Nested,
    Status,
    String,
    Text,
    ValueObject,
)
from protean.fields.spec import FieldKind, FieldSpec

__all__ = [
    "Auto",
    "Boolean",
    "Date",
    "DateTime",
    "Decimal",
    "Dict",
    "FieldKind",
    "FieldSpec",
    "Float",
    "HasMany",
    "HasOne",
    "Identifier",
    "Integer",
    "List",
    "Method",
    "Nested",
    "Reference",
    "Status",
    "String",
    "Text",
    "ValueObject",
]
