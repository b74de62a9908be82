"""The shape of a policy module in Python: a dataclass for its settings, and one function that decides.

`landfall policy new --lang python` puts this file beside your policy.py; there is nothing in it to change.
"""

import dataclasses
import json
import types
import typing

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.policy import Decision_Allow, Decision_Deny, Denial, Needs, Request

__all__ = ["Request", "allow", "deny", "module"]

#: What is asked may be done, as far as this module is concerned.
allow = Decision_Allow()


def deny(code, reason):
    """It may not: `code` is for programs (`no-rule`), `reason` one sentence for people."""
    return Decision_Deny(Denial(reason, code))


def module(settings, authorize, needs_pod=False):
    """The module, which has to be called Policy: `Policy = module(Settings, authorize)`.

    `settings` is a dataclass; the settings are read into it by its fields' types. A ValueError that its `__post_init__`
    raises refuses them. `authorize(settings, request)` is given the request of wit/policy.wit, whose `attributes` are a
    dict here and whose `pod` is the parsed pod, or None. It returns `allow` or `deny(code, reason)`. Whatever it raises,
    or returns instead, denies, and counts as a failure of the module.
    """

    class Policy(exports.Policy):
        def configure(self, text):
            global _settings
            try:
                _settings = _read(settings, json.loads(text), "")
            except ValueError as error:
                # This is what the operator reads.
                raise Err(str(error)) from None
            return Needs.POD if needs_pod else Needs(0)

        def authorize(self, request):
            try:
                request.pod = None if request.pod is None else json.loads(request.pod)
            except ValueError:
                return deny("unreadable-pod", "the pod can't be read: it is not JSON")
            try:
                request.attributes = dict(request.attributes)
                decision = authorize(_settings, request)
            except Exception as error:  # by this code the host knows that nothing was decided
                return deny("module-error", f"the module failed: {_told(error)}")
            if isinstance(decision, (Decision_Allow, Decision_Deny)):
                return decision
            return deny("module-error", "the module answered neither allow nor deny")

    return Policy


_settings = None


def _told(error):
    """What was raised, and by which line."""
    # The library's traceback looks for the sources, and there are no files here.
    lines, step = [], error.__traceback__
    while step is not None:
        lines.append((step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1], step.tb_lineno))
        step = step.tb_next
    file, line = next((line for line in reversed(lines) if line[0] != "landfall_policy.py"), lines[-1])
    return f"{type(error).__name__}: {error} ({file}:{line})"


def _read(kind, value, place):
    """`value` as `kind`: a dataclass, str, int, bool, list[...], dict[str, ...] or one of those or None."""
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, place)
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        if not isinstance(value, list):
            raise ValueError(f"{place}: must be a list")
        return [_read(of[0], each, f"{place}[{at}]") for at, each in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{place}: must be an object")
        return {name: _read(of[1], each, f"{place}.{name}") for name, each in value.items()}
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(next(each for each in of if each is not types.NoneType), value, place)
    names = {str: "text", int: "a whole number", bool: "true or false"}
    # True is an int in Python, and isn't meant where a number is.
    if type(value) is not kind:
        raise ValueError(f"{place}: must be {names.get(kind, kind)}")
    return value


def _read_fields(kind, value, place):
    if not isinstance(value, dict):
        raise ValueError(f"{place or 'settings'}: must be an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    types_of = typing.get_type_hints(kind)
    for name in value:
        if name not in fields:
            raise ValueError(f'{place or "settings"}: unknown setting "{name}"; there are: {", ".join(fields)}')
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in value:
            raise ValueError(f'{place or "settings"}: "{name}" is missing')
    at = f"{place}." if place else ""
    read = {name: _read(types_of[name], each, f"{at}{name}") for name, each in value.items()}
    try:
        return kind(**read)
    except ValueError as error:
        raise ValueError(f"{place or 'settings'}: {error}") from None
