"""Pods may only be created in the clusters that are listed."""

from dataclasses import dataclass

from landfall_policy import Request, allow, deny, module


@dataclass
class Settings:
    """What stands under `settings` for this module in the configuration. Anything else is refused when it is loaded."""

    clusters: list[str]


def authorize(settings: Settings, request: Request):
    """Asked for every pod. The request is that of wit/policy.wit; when in doubt, deny."""
    cluster = request.target.cluster
    if cluster in settings.clusters:
        return allow
    return deny("cluster-not-listed", f'cluster "{cluster}" is not one of {", ".join(settings.clusters)}')


Policy = module(Settings, authorize)
