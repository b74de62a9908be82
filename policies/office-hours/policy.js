// Pods may be created in some clusters during some hours only.
//
// A module has no clock: the time is an attribute of the request, so that a decision can be replayed.

import { allow, deny, list, module, object, optional, parsed } from "./landfall_policy.js";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_MINUTES = 24 * 60;

/** "08:30" as minutes of the day; "24:00" is its end. */
function minutes(value) {
  const [, hour, minute] = /^([0-9]{2}):([0-5][0-9])$/.exec(value) ?? [];
  const total = Number(hour) * 60 + Number(minute);
  if (!(total <= DAY_MINUTES)) throw new Error("must be a time of day such as 08:30");
  return total;
}

/** "+02:00" as minutes. */
function offset(value) {
  const [, sign, hour, minute] = /^([+-])([0-9]{2}):([0-5][0-9])$/.exec(value) ?? [];
  const total = Number(hour) * 60 + Number(minute);
  if (!(total <= 14 * 60)) throw new Error("must be an offset from UTC such as +02:00");
  return sign === "-" ? -total : total;
}

function day(value) {
  if (!DAYS.includes(value)) throw new Error(`must be one of ${DAYS.join(", ")}`);
  return value;
}

/** "*", or the whole name of a cluster: what could match none would close nothing, and look as if it did. */
function clusterName(value) {
  if (value !== "*" && !isLabel(value)) throw new Error('must be "*" or the whole name of a cluster: here are no patterns');
  return value;
}

function namespaceName(value) {
  if (!isLabel(value)) throw new Error("must be the whole name of a namespace: here are no patterns");
  return value;
}

/** Whether `value` can be the name of a cluster or a namespace. */
function isLabel(value) {
  return value.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value);
}

/** A list that says something. */
function several(item) {
  const read = list(item);
  return (value, place) => {
    const items = read(value, place);
    if (items.length === 0) throw new Error(`${place}: is empty`);
    return items;
  };
}

/** A rule whose hours are some hours. */
function hours(read) {
  return (value, place) => {
    const rule = read(value, place);
    if (rule.from === DAY_MINUTES) throw new Error(`${place}.from: must be before 24:00`);
    if (rule.from === rule.to) throw new Error(`${place}.to: is the same as from; a whole day is from 00:00 to 24:00`);
    return rule;
  };
}

const settings = object({
  // Local time, as an offset from UTC: a module knows no time zones.
  utcOffset: optional(parsed(offset), 0),
  // All that are about a target's cluster must be kept. Clusters that none is about are always open.
  rules: list(
    hours(
      object({
        clusters: several(parsed(clusterName)),
        days: optional(several(parsed(day)), ["mon", "tue", "wed", "thu", "fri"]),
        from: parsed(minutes),
        to: parsed(minutes),
        // Namespaces of workflows to which it does not apply.
        except: optional(list(parsed(namespaceName)), []),
      }),
    ),
  ),
});

/** Whether `rule` lets something be created at `minute` of `weekday`. A rule with `to` before `from` goes over midnight. */
function open(rule, weekday, minute) {
  const today = rule.days.includes(DAYS[weekday]);
  if (rule.from <= rule.to) return today && rule.from <= minute && minute < rule.to;
  const yesterday = rule.days.includes(DAYS[(weekday + 6) % 7]);
  return (today && rule.from <= minute) || (yesterday && minute < rule.to);
}

function clock(minute) {
  const pad = (number) => String(number).padStart(2, "0");
  return `${pad(Math.floor(minute / 60))}:${pad(minute % 60)}`;
}

export const policy = module({
  settings,

  authorize({ utcOffset, rules }, request) {
    const { cluster } = request.target;
    const about = rules.filter(
      (rule) =>
        (rule.clusters.includes("*") || rule.clusters.includes(cluster)) &&
        !rule.except.includes(request.workflow.namespace),
    );
    if (about.length === 0) return allow;
    const time = Date.parse(request.attributes["request-time"] ?? "");
    if (Number.isNaN(time)) return deny("no-time", "the request has no attribute request-time, so no hours can be kept");
    const local = Math.floor(time / 60000) + utcOffset;
    const minute = ((local % DAY_MINUTES) + DAY_MINUTES) % DAY_MINUTES;
    // The first day that is counted from, 1 January 1970, was a Thursday.
    const weekday = (((Math.floor(local / DAY_MINUTES) + 4) % 7) + 7) % 7;
    const closed = about.find((rule) => !open(rule, weekday, minute));
    if (!closed) return allow;
    return deny(
      "outside-hours",
      `cluster ${JSON.stringify(cluster)} takes pods ${closed.days.join(", ")} from ${clock(closed.from)} to ` +
        `${clock(closed.to)}, and it is ${DAYS[weekday]} ${clock(minute)} there`,
    );
  },
});
