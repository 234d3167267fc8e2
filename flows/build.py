"""From names and options in the policy to the objects that do the work: once, at the edge.

Nothing below `flows/` sees the policy. A name or an option that does not exist is refused by its key.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from domain.errors import Code, RequestRejected
from flows.policy import MethodRule, Options, Policy

if TYPE_CHECKING:  # importing these takes seconds; each function below imports what it builds
    from detectors.protocol import Detector
    from unlearning.attacks import Attack
    from unlearning.methods import Method
    from unlearning.verdict import Thresholds


def detectors(policy: Policy) -> dict[str, "Detector"]:
    """The policy's detectors by name. Raises `RequestRejected`: DETECTOR_UNKNOWN, POLICY_INVALID."""
    from detectors.registry import DETECTORS

    return {
        name: _build(DETECTORS, name, options, "detectors", Code.DETECTOR_UNKNOWN)
        for name, options in policy.detectors.items()
    }


def method(rule: MethodRule, places: Mapping[str, Path | None] = MappingProxyType({})) -> "Method":
    """The method of one rule, told where this model's shards and their key are, if it asks.

    Raises `RequestRejected`: METHOD_UNKNOWN, POLICY_INVALID.
    """
    from unlearning.methods import METHODS

    options = dict(rule.options)
    kind = METHODS.get(rule.name)
    if kind is not None:
        asked = set(_knobs(kind))
        options |= {
            name: str(at) for name, at in places.items() if at is not None and name in asked
        }
    built: Method = _build(METHODS, rule.name, options, "methods.order", Code.METHOD_UNKNOWN)
    return built


def attacks(policy: Policy) -> dict[str, "Attack"]:
    """The policy's attacks by name. Raises `RequestRejected` (POLICY_INVALID)."""
    from unlearning.attacks import ATTACKS

    return {
        name: _build(ATTACKS, name, options, "attacks", Code.POLICY_INVALID)
        for name, options in policy.attacks.items()
    }


def thresholds(policy: Policy) -> "Thresholds":
    """The bounds of the verdict: sections thresholds and utility. Raises `RequestRejected` (POLICY_INVALID)."""
    from unlearning.verdict import Thresholds

    named = {**policy.thresholds, **policy.utility}
    known = _knobs(Thresholds)
    for name in named:
        if name not in known:
            section = "thresholds" if name in policy.thresholds else "utility"
            raise _unknown(f"{section}.{name}", "bound", known)
    for name in known:
        if name not in named:
            raise RequestRejected(
                Code.POLICY_INVALID,
                place=f"policy.yaml, thresholds.{name}",
                remedy="this key is missing; add it.",
            )
    try:
        return Thresholds(**named)
    except ValueError as error:  # it names the bound and what it may be
        raise RequestRejected(
            Code.POLICY_INVALID, place="policy.yaml, thresholds and utility", remedy=f"{error}."
        ) from None


def everything(policy: Policy) -> None:
    """Build all of it, so that a wrong name is refused before anything is done. Raises `RequestRejected`."""
    detectors(policy)
    attacks(policy)
    thresholds(policy)
    for rule in policy.methods.order:
        method(rule)


def _build(
    kinds: Mapping[str, type[Any]], name: str, options: Options, section: str, code: Code
) -> Any:
    if name not in kinds:
        known = ", ".join(sorted(kinds))
        raise RequestRejected(
            code, place=f"policy.yaml, {section}.{name}", remedy=f"no such name; known are {known}."
        )
    knobs = _knobs(kinds[name])
    for option in options:
        if option not in knobs:
            raise _unknown(f"{section}.{name}.{option}", "option", knobs)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    sorts = get_type_hints(kinds[name])
    for option, value in values.items():
        _require(sorts[option], value, f"{section}.{name}.{option}")
    try:
        return kinds[name](**values)
    except (TypeError, ValueError) as error:
        wrong = "an option is missing" if isinstance(error, TypeError) else str(error)
        raise RequestRejected(
            Code.POLICY_INVALID,
            place=f"policy.yaml, {section}.{name}",
            remedy=f"{wrong}; correct it.",
        ) from None


def _require(sort: Any, value: object, place: str) -> None:
    """Nothing below checks it: a word for a number would stop a run in its middle."""
    try:
        TypeAdapter(sort).validate_python(value, strict=True)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]["msg"]
        raise RequestRejected(
            Code.POLICY_INVALID,
            place=f"policy.yaml, {place}",
            remedy=f"{wrong[0].lower()}{wrong[1:]}; correct it.",
        ) from None


def _knobs(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.init)


def _unknown(place: str, noun: str, known: tuple[str, ...]) -> RequestRejected:
    return RequestRejected(
        Code.POLICY_INVALID,
        place=f"policy.yaml, {place}",
        remedy=f"no such {noun}; known are {', '.join(known) or 'none'}.",
    )
