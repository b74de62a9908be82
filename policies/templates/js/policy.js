// Pods may only be created in the clusters that are listed.

import { allow, deny, list, module, object, text } from "./landfall_policy.js";

export const policy = module({
  // What stands under `settings` for this module in the configuration. Anything else is refused when it is loaded.
  settings: object({
    clusters: list(text),
  }),

  // Asked for every pod. The request is that of wit/policy.wit; when in doubt, deny.
  authorize(settings, request) {
    const { cluster } = request.target;
    if (settings.clusters.includes(cluster)) return allow;
    return deny(
      "cluster-not-listed",
      `cluster ${JSON.stringify(cluster)} is not one of ${settings.clusters.join(", ")}`,
    );
  },
});
