"""Names have to fit patterns: of target namespaces, service accounts and templates, by the workflow's namespace.

A rule is one line of patterns. `*` stands for anything, `{word}` for letters and digits that are the same wherever the
word stands in the rule: workflows of `team-{team}` may go to namespaces `{team}-*`.
"""

import re
from dataclasses import dataclass, field

from landfall_policy import Request, allow, deny, module

#: What a rule says something about, in this order; what is asked is written in the same order, a line each.
SUBJECTS = ("workflows", "clusters", "namespaces", "serviceAccounts", "templates")

_PART = re.compile(r"\*|\{([a-z]+)\}|[^*{}]+|.")


@dataclass
class Rule:
    #: The workflow's own namespace: whom the rule is for.
    workflows: str
    #: Where it may go, as what, and with which templates.
    clusters: str = "*"
    namespaces: str = "*"
    serviceAccounts: str = "*"
    templates: str = "*"

    def __post_init__(self):
        words = set()
        lines = [_expression(subject, getattr(self, subject), words) for subject in SUBJECTS]
        # The first two lines, the first three … and all: the longest that fits tells where it goes wrong.
        self.beginnings = [re.compile("\n".join(lines[:end])) for end in range(1, len(lines) + 1)]

    def fitting(self, asked):
        """How many of the lines fit, from the first on."""
        for count in range(len(SUBJECTS), 0, -1):
            if self.beginnings[count - 1].fullmatch("\n".join(asked[:count])):
                return count
        return 0


@dataclass
class Settings:
    rules: list[Rule] = field(default_factory=list)


def _expression(subject, pattern, words):
    """The regular expression of one pattern. A word that was there before must be the same again."""
    parts = []
    for part in _PART.finditer(pattern):
        text, word = part.group(), part.group(1)
        if word is None and text in "{}":
            raise ValueError(f'{subject}: "{pattern}": a word in braces is of small letters, such as {{team}}')
        if text == "*":
            parts.append("[^\n]*")
        elif word is None:
            parts.append(re.escape(text))
        elif word in words:
            parts.append(f"(?P={word})")
        elif subject == "workflows":
            words.add(word)
            # No dash: otherwise the team `a` could reach what belongs to a team `a-b`.
            parts.append(f"(?P<{word}>[a-z0-9]+)")
        else:
            raise ValueError(f'{subject}: "{pattern}": {{{word}}} is not in the pattern of the workflows')
    return "".join(parts)


def authorize(settings: Settings, request: Request):
    service_account = request.service_account or "default"
    place = request.target
    asked = [request.workflow.namespace, place.cluster, place.namespace, service_account, request.template]
    nearest, fitting = None, 0
    for rule in settings.rules:
        count = rule.fitting(asked)
        if count == len(SUBJECTS):
            return allow
        if count > fitting:
            nearest, fitting = rule, count
    if nearest is None:
        return deny("no-rule", f'no rule is for workflows in namespace "{asked[0]}"')
    subject = SUBJECTS[fitting]
    return deny(
        "name-does-not-fit",
        f'"{asked[fitting]}" does not fit: workflows in namespace "{asked[0]}" may use {subject} '
        f'"{getattr(nearest, subject)}" there',
    )


Policy = module(Settings, authorize)
