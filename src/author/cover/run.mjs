// Asks a policy module in JavaScript, as `landfall policy cover` has Node.js do it, and tells what of its sources ran.
// Standard input is {folder, entry, refusals: [settings], groups: [{settings, requests}]}.

import fs from "node:fs";
import { Session } from "node:inspector";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const { folder, entry, refusals, groups } = JSON.parse(fs.readFileSync(0, "utf8"));
const session = new Session();
session.connect();
const post = (method, parameters) => {
  let answer;
  session.post(method, parameters, (error, result) => {
    if (error) throw new Error(error.message);
    answer = result;
  });
  return answer;
};
post("Profiler.enable");
post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

const { policy } = await import(pathToFileURL(path.join(folder, entry)).href);
const configured = (settings) => {
  try {
    return policy.configure(JSON.stringify(settings));
  } catch {
    return null;
  }
};
const refused = refusals.map((settings) => configured(settings) === null);
const answers = groups.flatMap(({ settings, requests }) => {
  const needs = configured(settings);
  return requests.map((request) => {
    if (needs === null) return "refused";
    const pod = needs.pod ? (request.pod ?? undefined) : undefined;
    try {
      return policy.authorize({ ...request, pod }).tag;
    } catch {
      return "failed";
    }
  });
});

const functions = [];
const blocks = [];
const lines = [];
for (const script of post("Profiler.takePreciseCoverage").result) {
  if (!script.url.startsWith("file://")) continue;
  const file = path.relative(folder, fileURLToPath(script.url));
  const foreign = file.startsWith("..") || file.split(path.sep).includes("node_modules");
  if (foreign || path.basename(file) === "landfall_policy.js") continue;
  const text = fs.readFileSync(path.join(folder, file), "utf8");
  const starts = [0, ...[...text.matchAll(/\n/g)].map((end) => end.index + 1)];
  const lineOf = (offset) => starts.findLastIndex((start) => start <= offset) + 1;
  const ran = new Uint8Array(text.length).fill(1);
  // Outer functions come first, and so do outer blocks in each.
  for (const { functionName, ranges } of script.functions) {
    for (const [place, { startOffset, endOffset, count }] of ranges.entries()) {
      ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      // What stands before a block is white space, or the bracket that ends another.
      const code = text.slice(startOffset, endOffset).search(/[^\s})]/);
      const line = lineOf(startOffset + Math.max(code, 0));
      const whole = startOffset === 0 && endOffset === text.length;
      if (place > 0) blocks.push({ file, line, ran: count > 0 });
      else if (!whole) functions.push({ file, line, name: functionName || "(no name)", ran: count > 0 });
    }
  }
  for (const [place, start] of starts.entries()) {
    const line = text.slice(start, starts[place + 1] ?? text.length);
    const first = line.search(/[^\s{}()[\];,]/);
    const comment = /^\s*(\/\/|\/\*|\*)/.test(line);
    if (first >= 0 && !comment) lines.push({ file, line: place + 1, ran: ran[start + first] > 0 });
  }
}
process.stdout.write(
  JSON.stringify({ runtime: `Node.js ${process.versions.node}`, functions, blocks, lines, answers, refused }),
);
