// The shape of a policy module in JavaScript: what its settings look like, and one function that decides.
// `landfall policy new --lang js` puts this file beside your policy.js; there is nothing in it to change.

/** What is asked may be done, as far as this module is concerned. */
export const allow = Object.freeze({ tag: "allow" });

/** It may not: `code` is for programs (`no-rule`), `reason` one sentence for people. */
export function deny(code, reason) {
  return { tag: "deny", val: { code, reason } };
}

/**
 * The module: `export const policy = module({ needs: ["pod"], settings: object({…}), authorize(settings, request) {…} })`.
 *
 * `authorize` is given the settings as `settings` read them, and the request of wit/policy.wit, whose `attributes` are an
 * object by name here and whose `pod` is the parsed pod, or null. It returns `allow` or `deny(code, reason)`. Whatever
 * it throws, or returns instead, denies, and counts as a failure of the module.
 */
export function module({ settings, authorize, needs = [] }) {
  let known;
  return {
    configure(text) {
      try {
        known = settings(JSON.parse(text), "");
      } catch (error) {
        // A thrown string is what the operator reads.
        throw error instanceof Error ? error.message : String(error);
      }
      return { pod: needs.includes("pod") };
    },
    authorize(request) {
      let pod = null;
      try {
        if (request.pod != null) pod = JSON.parse(request.pod);
      } catch {
        return deny("unreadable-pod", "the pod can't be read: it is not JSON");
      }
      try {
        const attributes = Object.fromEntries(request.attributes);
        const decision = authorize(known, { ...request, attributes, pod });
        if (decision?.tag === "allow" || decision?.tag === "deny") return decision;
        return deny("module-error", "the module answered neither allow nor deny");
      } catch (error) {
        // By this code the host knows that nothing was decided.
        return deny("module-error", `the module failed: ${told(error)}`);
      }
    },
  };
}

/** What was thrown, and by which line. */
function told(error) {
  if (!(error instanceof Error)) return String(error);
  const lines = [...String(error.stack).matchAll(/([^\s/(]+\.m?js:\d+)/g)].map((match) => match[1]);
  const line = lines.find((line) => !line.startsWith("landfall_policy.js")) ?? lines[0];
  return `${error.name}: ${error.message}${line === undefined ? "" : ` (${line})`}`;
}

// How settings are read. Each of these takes a value and its place, and returns what to keep or throws what is wrong.

function wrong(place, message) {
  throw new Error(`${place || "settings"}: ${message}`);
}

/** Text. */
export function text(value, place) {
  return typeof value === "string" ? value : wrong(place, "must be text");
}

/** A whole number. */
export function whole(value, place) {
  return Number.isSafeInteger(value) ? value : wrong(place, "must be a whole number");
}

/** true or false. */
export function flag(value, place) {
  return typeof value === "boolean" ? value : wrong(place, "must be true or false");
}

/** A list, each item read by `item`. */
export function list(item) {
  return (value, place) =>
    Array.isArray(value) ? value.map((each, at) => item(each, `${place}[${at}]`)) : wrong(place, "must be a list");
}

/** Text that `parse` turns into something else; it throws what is wrong with it. */
export function parsed(parse) {
  return (value, place) => {
    try {
      return parse(text(value, place));
    } catch (error) {
      return wrong(place, error.message.replace(`${place}: `, ""));
    }
  };
}

/** What may be left out: then it is `standard`. */
export function optional(read, standard) {
  return Object.assign((value, place) => read(value, place), { optional: true, standard });
}

/** An object with these fields and no others, so that a misspelt setting is noticed. */
export function object(fields) {
  return (value, place) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) wrong(place, "must be an object");
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(fields, name)) {
        wrong(place, `unknown setting ${JSON.stringify(name)}; there are: ${Object.keys(fields).join(", ")}`);
      }
    }
    const result = {};
    for (const [name, read] of Object.entries(fields)) {
      if (Object.hasOwn(value, name)) {
        result[name] = read(value[name], place ? `${place}.${name}` : name);
      } else if (read.optional) {
        result[name] = read.standard;
      } else {
        wrong(place, `${JSON.stringify(name)} is missing`);
      }
    }
    return result;
  };
}
