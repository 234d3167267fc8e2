"""YAML read strictly: a duplicate key, an anchor or a broken line is one clear refusal, and no text of it is quoted."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import Code, RequestRejected

LARGEST = 256 * 1024  # bytes; a request or a policy is a page or two

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A record from a file that a person wrote: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Refused(yaml.YAMLError):
    """A construct that YAML allows and we do not. Carries the line and the rule, no text."""

    def __init__(self, mark: yaml.Mark | None, rule: str) -> None:
        super().__init__(rule)
        self.problem_mark = mark
        self.rule = rule


class _Typed(yaml.SafeLoader):
    """Scalars become numbers and booleans where YAML says so."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _Refused(mark, "it refers to an anchor")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise _Refused(key.start_mark, "a key must be a plain word")
            if key.value in seen:
                raise _Refused(key.start_mark, "the same key stands there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Plain(_Typed):
    """Every scalar stays the text that was written: YAML would turn 0900 into 576 and 12:30:00 into 45000."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the name and type are PyYAML's


def read_yaml(path: Path, code: Code, *, plain: bool = False, setting: str = "") -> dict[str, Any]:
    """The mapping in a YAML file; with `plain`, every scalar is a string. `setting` names the variable with its path.

    Raises `RequestRejected` with `code` when the file is missing, too large, not UTF-8, not YAML, or no mapping.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        remedy = f"run in its folder, or name it in {setting}" if setting else "check the path"
        raise _rejected(code, path.name, f"it cannot be read; {remedy}.") from None
    if len(raw) > LARGEST:
        raise _rejected(code, path.name, "it is larger than 256 kB; keep one record in it.")
    try:
        value = yaml.load(raw.decode("utf-8-sig"), Loader=_Plain if plain else _Typed)  # noqa: S506  both are safe loaders
    except UnicodeDecodeError:
        raise _rejected(code, path.name, "it is not UTF-8; save it as UTF-8.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        rule = error.rule if isinstance(error, _Refused) else "it is not valid YAML"
        place = path.name if mark is None else f"{path.name}, line {mark.line + 1}"
        raise _rejected(code, place, f"{rule}; correct it.") from None
    if not isinstance(value, dict):
        raise _rejected(code, path.name, "it must be a list of `key: value` lines.")
    return value


def validated(model: type[Model], value: object, *, name: str, code: Code) -> Model:
    """`value` as a `model`. Raises `RequestRejected` with one sentence naming the first wrong key, never its value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise _rejected(code, f"{name}, {where}", _remedy(first["type"], first["msg"])) from None


def _remedy(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "this key is unknown; correct its spelling or remove it."
    if kind == "missing":
        return "this key is missing; add it."
    message = message.removeprefix("Value error, ")  # pydantic's word before one of ours
    return f"{message[0].lower()}{message[1:].rstrip('.')}."


def _rejected(code: Code, place: str, remedy: str) -> RequestRejected:
    return RequestRejected(code, place=place, remedy=remedy)
