"""Settings classes: dataclasses whose values are checked against their annotations.

An annotation says what is allowed (pydantic's constrained types). The check is the same wherever a
value comes from: YAML, an override, the metadata of a file, or Python. Nothing is converted but
integers to floats and lists to tuples: ``True`` is not a number, ``"5"`` not an integer. NaN and
infinity are refused. What relates two settings is checked in the class's ``__post_init__``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, field, fields, is_dataclass
from functools import partial, wraps
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, validate_call
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import ArgsKwargs, ErrorDetails, PydanticCustomError, core_schema
from typing_extensions import dataclass_transform

from scmn.errors import InputError, nearest_name

P = ParamSpec("P")
T = TypeVar("T")
Naming = Callable[[str], str]
"""Dotted path of a setting -> its name in messages."""

LARGEST = 3.4e38
"""About the largest number of float32, in which networks compute."""

CONFIG = ConfigDict(strict=True, allow_inf_nan=False)


def _in_order(limits: tuple[Any, Any]) -> tuple[Any, Any]:
    if limits[0] > limits[1]:
        raise ValueError("must have its minimum first")
    return limits


Pair = Annotated[tuple[T, T], Field(strict=False)]
"""Two values; in YAML a list."""
Range = Annotated[Pair[T], AfterValidator(_in_order)]
"""Minimum and maximum."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A share or a probability."""
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


@dataclass_transform(field_specifiers=(field,))
def settings(*, frozen: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class of annotated fields a settings class.

    That is a dataclass which raises InputError if it is made with a wrong value. A mapping in place
    of a nested settings class holds the differences from the field's default.
    """

    def decorate(cls: type[T]) -> type[T]:
        cls.__get_pydantic_core_schema__ = classmethod(_schema)  # type: ignore[attr-defined]
        made: Any = pydantic_dataclass(cls, config=CONFIG, frozen=frozen)
        names = [field.name for field in fields(made)]
        create = made.__init__

        @wraps(create)
        def __init__(self: T, *args: Any, **values: Any) -> None:
            if len(args) > len(names):
                raise TypeError(f"{cls.__name__} has {len(names)} settings, not {len(args)}")
            with _mistakes_in_one_line(within(cls.__name__)):
                create(self, **dict(zip(names, args, strict=False)), **values)

        made.__init__ = __init__
        return made

    return decorate


def within(block: str) -> Naming:
    """Name settings as parts of a block, such as ``memory``."""
    return lambda path: f"{block}.{path}" if path else block


def check(kind: type[T], content: Any, name: Naming = str) -> T:
    """Return ``content``, such as a mapping from YAML, as an instance of a settings class.

    Args:
        kind: the settings class.
        content: an instance, or a mapping.
        name: how a setting is named in messages.

    Raises:
        InputError: what is wrong in it, all of it in one line.
    """
    with _mistakes_in_one_line(name):
        return TypeAdapter(kind).validate_python(content)


def check_arguments(
    function: Callable[..., Any], arguments: Any, name: Naming = str
) -> dict[str, Any]:
    """Return some arguments of a function, given as a mapping, checked by its annotations.

    Raises:
        InputError: what is wrong in them, all of it in one line.
    """
    kind: Any = Annotated[dict[str, Any], SomeOf(function)]
    with _mistakes_in_one_line(name):
        return TypeAdapter(kind).validate_python(arguments)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of every call by their annotations; InputError if any is wrong."""
    config = ConfigDict(**CONFIG, arbitrary_types_allowed=True)
    call = validate_call(config=config)(function)

    @wraps(function)
    def in_one_line(*args: P.args, **kwargs: P.kwargs) -> T:
        with _mistakes_in_one_line(str):
            return call(*args, **kwargs)

    return in_one_line


class SomeOf:
    """Annotates a mapping of some settings of a class, or some arguments of a function."""

    def __init__(self, annotated: Callable[..., Any]) -> None:
        self.hints = get_type_hints(annotated, include_extras=True)
        self.hints.pop("return", None)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        schema = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(handler.generate_schema(hint), required=False)
                for name, hint in self.hints.items()
            },
            config=core_schema.CoreConfig(strict=True, allow_inf_nan=False),
        )
        refuse = partial(_refuse_unknown, known=self.hints)
        return core_schema.no_info_before_validator_function(refuse, schema)


def _schema(cls: type, source: Any, handler: Any) -> core_schema.CoreSchema:
    """Let a mapping stand for an instance, which pydantic's strict mode refuses."""
    schema = handler(source)
    handler.resolve_ref_schema(schema)["strict"] = False
    return core_schema.no_info_before_validator_function(partial(_complete, cls), schema)


def _complete(cls: Any, given: Any) -> Any:
    """Put given differences on top of the defaults of a class's nested settings classes."""
    if isinstance(given, ArgsKwargs):
        return ArgsKwargs((), _complete(cls, given.kwargs or {}))
    if not isinstance(given, Mapping):
        return given
    _refuse_unknown(given, [field.name for field in fields(cls)])
    values = dict(given)
    for field_ in fields(cls):
        if field_.name in given and field_.default_factory is not MISSING:
            values[field_.name] = _on_top(field_.default_factory(), given[field_.name])
    return values


def _on_top(default: Any, given: Any) -> Any:
    if not is_dataclass(default) or not isinstance(given, Mapping):
        return given
    values = dict(vars(default))
    return values | {name: _on_top(values.get(name), value) for name, value in given.items()}


def _refuse_unknown(given: Any, known: Iterable[str]) -> Any:
    names = list(known)
    for name in given if isinstance(given, Mapping) else ():
        if name not in names:
            hint = nearest_name(str(name), names) or f"; there are {', '.join(names)}"
            context = {"name": name, "hint": hint}
            raise PydanticCustomError("unknown", "no such setting{hint}", context)
    return given


@contextmanager
def _mistakes_in_one_line(name: Naming) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        raise InputError("; ".join(_sentence(mistake, name) for mistake in mistakes)) from error


def _sentence(mistake: ErrorDetails, name: Naming) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    parts = [*mistake["loc"], *([context["name"]] if kind == "unknown" else [])]
    setting = name(".".join(map(str, parts)))
    reason = context.get("error")
    if isinstance(reason, InputError):  # of several settings, which it names
        return f"{setting}: {reason}" if setting else str(reason)
    if kind.startswith("missing"):
        return f"{setting} is not set"
    message = str(reason or mistake["msg"]).replace("Input should", "must", 1)
    if "must" not in message:  # the message has the value, such as the length of a list
        return f"{setting}: {message[0].lower()}{message[1:]}"
    return f"{setting} {message}, not {reprlib.repr(mistake['input'])}"
