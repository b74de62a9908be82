"""Asks a policy module in Python, as `landfall policy cover` has it done, and tells what of its sources ran.

Standard input is {folder, entry, refusals: [settings], groups: [{settings, requests}]}. The bindings that a component is
built with are not there outside of one, so the few types of them that modules use stand here.
"""

import dataclasses
import enum
import importlib
import inspect
import json
import os
import platform
import sys
import types
import typing


class Err(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


class Needs(enum.Flag):
    POD = 1


@dataclasses.dataclass
class Denial:
    reason: str
    code: str


@dataclasses.dataclass
class Decision_Allow:
    pass


@dataclasses.dataclass
class Decision_Deny:
    value: Denial


class Request(types.SimpleNamespace):
    pass


def bindings():
    """The modules that componentize-py makes of wit/policy.wit, as far as policies see them."""
    made = {name: types.ModuleType(name) for name in ("componentize_py_types", "wit_world", "wit_world.exports")}
    made["wit_world.exports.policy"] = types.ModuleType("wit_world.exports.policy")
    made["componentize_py_types"].Err = Err
    made["wit_world"].exports = made["wit_world.exports"]
    made["wit_world.exports"].Policy = type("Policy", (), {})
    made["wit_world.exports"].policy = made["wit_world.exports.policy"]
    creates = enum.Enum("Creates", ["POD"])
    for kind in (Needs, Denial, Decision_Allow, Decision_Deny, Request, creates):
        setattr(made["wit_world.exports.policy"], kind.__name__, kind)
    made["wit_world.exports.policy"].Decision = typing.Union[Decision_Allow, Decision_Deny]
    sys.modules.update(made)


def request_of(asked, needs):
    space = types.SimpleNamespace
    return Request(
        home=asked["home"],
        workflow=space(**asked["workflow"]),
        template=asked["template"],
        target=space(**asked["target"]),
        service_account=asked["serviceAccount"],
        creates=sys.modules["wit_world.exports.policy"].Creates.POD,
        pod=asked.get("pod") if Needs.POD in needs else None,
        attributes=[tuple(pair) for pair in asked["attributes"]],
    )


def codes_of(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


def name_of(code):
    return getattr(code, "co_qualname", code.co_name)


def main():
    asked = json.load(sys.stdin)
    folder = os.path.realpath(asked["folder"])
    # What the module prints is not the report.
    report, sys.stdout = sys.stdout, sys.stderr
    bindings()
    sys.path.insert(0, folder)
    lines, called = set(), set()

    def is_own(file):
        inside = os.path.relpath(file, folder).split(os.sep)
        hidden = any(part.startswith(".") or part in ("venv", "__pycache__") for part in inside)
        return file.endswith(".py") and not hidden and inside[-1] != "landfall_policy.py"

    def trace(frame, event, _):
        code = frame.f_code
        if not is_own(code.co_filename):
            return None
        if event == "call":
            called.add((code.co_filename, code.co_firstlineno, name_of(code)))
        lines.add((code.co_filename, frame.f_lineno))
        return trace

    def configured(policy, settings):
        try:
            return policy.configure(json.dumps(settings))
        except Exception:
            return None

    answers, refused = [], []
    sys.settrace(trace)
    policy = importlib.import_module(asked["entry"]).Policy()
    for settings in asked["refusals"]:
        refused.append(configured(policy, settings) is None)
    for group in asked["groups"]:
        needs = configured(policy, group["settings"])
        for request in group["requests"]:
            if needs is None:
                answers.append("refused")
                continue
            try:
                answer = policy.authorize(request_of(request, needs))
                answers.append("allow" if isinstance(answer, Decision_Allow) else "deny")
            except Exception:
                answers.append("failed")
    sys.settrace(None)

    found = {"functions": [], "blocks": [], "lines": []}
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for file in sorted(file for file in files if file and is_own(os.path.realpath(file))):
        with open(file, encoding="utf-8") as opened:
            whole = compile(opened.read(), file, "exec")
        name = os.path.relpath(file, folder)
        counted = set()
        for code in codes_of(whole):
            # Of a function, its first line is that of `def`, which belongs to the code around it.
            inner = code is not whole
            counted |= {line for _, _, line in code.co_lines() if line and not (inner and line == code.co_firstlineno)}
            if code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<"):
                ran = (file, code.co_firstlineno, name_of(code)) in called
                place = {"file": name, "line": code.co_firstlineno}
                found["functions"].append({**place, "name": name_of(code), "ran": ran})
        found["lines"] += [{"file": name, "line": line, "ran": (file, line) in lines} for line in sorted(counted)]
    found |= {"runtime": f"Python {platform.python_version()}", "answers": answers, "refused": refused}
    json.dump(found, report)


main()
