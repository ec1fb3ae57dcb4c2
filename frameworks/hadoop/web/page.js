"use strict";
// All that comes from jobs becomes text, never markup: it is set by textContent and by attributes of fixed names.

const svgNamespace = "http://www.w3.org/2000/svg";
const shownAttempts = 500; // rows of the table; the picture has all
const byId = (id) => document.getElementById(id);

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS(svgNamespace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit++; }
  return (unit === 0 ? n : n.toFixed(1)) + " " + units[unit];
}

const seconds = (s) => s < 60 ? s.toFixed(s < 10 ? 2 : 1) + " s" : Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
const ended = (job) => ["finished", "failed", "killed"].includes(job.state);

function bar(done, all, kind) {
  const drawing = svg("svg", { viewBox: "0 0 100 10", width: "100%", height: "100%", preserveAspectRatio: "none" });
  drawing.append(svg("rect", { class: kind, width: all ? 100 * done / all : 0, height: 10 }));
  return element("span", "bar", drawing);
}

// named is a name, of which two lines are shown.
function named(name) {
  const cell = element("td", "name", element("span", "", name));
  cell.title = name;
  return cell;
}

function showList(jobs) {
  byId("list").hidden = false;
  byId("job").hidden = true;
  byId("empty").hidden = jobs.length > 0;
  byId("example").textContent = "stoa hadoop -jobtracker " + location.host + " -input /usr/share/doc -output /tmp/words \\\n  -mapper 'stoa hadoop wordcount-mapper' -reducer 'stoa hadoop wordcount-reducer'";
  const running = jobs.filter((job) => !ended(job)).length;
  byId("summary").textContent = jobs.length + (jobs.length === 1 ? " job" : " jobs") + ", " + running + " not over";
  byId("jobs").replaceChildren(...jobs.map((job) => {
    const link = element("a", "", job.id);
    link.href = "#" + encodeURIComponent(job.id);
    return element("tr", "",
      element("td", "short", link), named(job.name),
      element("td", job.state === "failed" ? "bad short" : "short", job.state + (job.waiting ? " (waits)" : "")), element("td", "short wide", job.priority),
      element("td", "short", bar(job.maps_done, job.maps, "map"), job.maps_done + "/" + job.maps),
      element("td", "short", ...(job.reduces ? [bar(job.reduces_done, job.reduces, "reduce"), job.reduces_done + "/" + job.reduces] : ["none"])),
      element("td", "number", bytes(job.input_bytes)), element("td", "number", seconds(job.seconds)),
      element("td", "short wide", new Date(job.submitted).toLocaleString()));
  }));
}

// lanes gives each attempt the first lane of its slave that is free when it starts.
function lanes(attempts) {
  const slaves = new Map();
  for (const attempt of attempts) {
    if (!slaves.has(attempt.slave)) slaves.set(attempt.slave, []);
    const free = slaves.get(attempt.slave);
    let lane = free.findIndex((until) => until <= attempt.begin + 1e-3);
    if (lane < 0) lane = free.push(0) - 1;
    free[lane] = attempt.end;
    attempt.lane = lane;
  }
  return [...slaves.entries()].sort((a, b) => a[0] < b[0] ? -1 : 1).map(([name, used]) => ({ name, lanes: used.length }));
}

function kindOf(attempt) {
  if (attempt.state === "failed" || attempt.state === "lost" || attempt.state === "output lost") return "failed";
  if (attempt.state === "dropped") return "dropped";
  return attempt.kind + (attempt.state === "running" ? " running" : "");
}

// roundStep is the round number of seconds that comes after some: 1, 2 or 5 times a power of ten, or some of a minute or an hour.
function roundStep(least) {
  const tens = 10 ** Math.floor(Math.log10(least));
  const some = least <= 10 ? [1, 2, 5, 10].map((n) => n * tens) : [20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
  return some.find((n) => n >= least) || least;
}

const tick = (s) => s >= 60 && s % 60 === 0 ? s / 60 + " min" : s > 60 ? seconds(s) : +s.toFixed(3) + " s";

// picture draws each attempt as a bar from its start to its end, by slave.
function picture(job) {
  const start = Date.parse(job.submitted);
  const attempts = job.attempts.map((a) => {
    const begin = (Date.parse(a.started) - start) / 1000;
    return { ...a, begin, end: begin + a.seconds };
  });
  attempts.sort((a, b) => a.begin - b.begin);
  const slaves = lanes(attempts);
  const width = Math.max(320, byId("picture").clientWidth || 960);
  const left = Math.min(110, width / 4), right = 12, total = Math.max(job.seconds, 0.001);
  const most = slaves.reduce((sum, s) => sum + s.lanes, 0);
  const row = most > 60 ? 5 : 13, gap = 8;
  const x = (s) => left + (width - left - right) * Math.min(Math.max(s, 0), total) / total;
  const drawing = svg("svg", { role: "img", "aria-label": "attempts over time" });
  let y = 8;
  const bars = [];
  for (const slave of slaves) {
    const label = svg("text", { x: 0, y: y + 10 }, slave.name.length > 16 ? slave.name.slice(0, 15) + "…" : slave.name);
    label.append(svg("title", {}, slave.name));
    drawing.append(label);
    slave.top = y;
    y += Math.max(slave.lanes * row, 13) + gap;
  }
  const tops = new Map(slaves.map((slave) => [slave.name, slave.top]));
  for (const a of attempts) {
    const made = svg("rect", { class: kindOf(a), x: x(a.begin).toFixed(1), y: tops.get(a.slave) + a.lane * row, width: Math.max(1, x(a.end) - x(a.begin) - 0.5).toFixed(1), height: row - 1 });
    made.append(svg("title", {}, a.id + ": " + a.state + ", " + seconds(a.seconds) + (a.reason ? ", " + a.reason : "")));
    bars.push(made);
    if (a.shuffle_seconds > 0 && kindOf(a).startsWith("reduce")) {
      const fetching = made.cloneNode(true);
      fetching.setAttribute("class", "shuffle");
      fetching.setAttribute("width", Math.max(1, x(Math.min(a.begin + a.shuffle_seconds, a.end)) - x(a.begin)).toFixed(1));
      bars.push(fetching);
    }
  }
  const step = roundStep(total / Math.max(2, Math.min(8, Math.floor((width - left) / 80))));
  for (let i = 0; i * step <= total; i++) {
    const at = x(i * step);
    drawing.append(svg("line", { class: "axis", x1: at, x2: at, y1: 0, y2: y }));
    drawing.append(svg("text", { x: at, y: y + 14, "text-anchor": i === 0 ? "start" : at > width - 40 ? "end" : "middle" }, tick(i * step)));
  }
  drawing.append(...bars);
  drawing.setAttribute("viewBox", "0 0 " + width + " " + (y + 20));
  return drawing;
}

function showJob(job) {
  byId("list").hidden = true;
  byId("job").hidden = false;
  byId("title").textContent = job.id + ": " + job.name;
  byId("summary").textContent = "";
  let line = job.state + (ended(job) ? " after " : ", for ") + seconds(job.seconds) + " · " + job.maps_done + "/" + job.maps + " maps, " + (job.reduces ? job.reduces_done + "/" + job.reduces : "no") + " reduces · " + bytes(job.input_bytes) + " in";
  if (job.totals) line += ", " + bytes(job.totals.output_bytes) + " out · map " + seconds(job.mapping_seconds) + ", reduce " + seconds(job.reducing_seconds) + ", commit " + seconds(job.commit_seconds);
  if (job.failed_attempts + job.lost_attempts > 0) line += " · failed " + job.failed_attempts + ", lost " + job.lost_attempts;
  if (!ended(job)) line += " · " + job.executors + (job.executors === 1 ? " executor" : " executors");
  byId("line").textContent = line;
  byId("output").textContent = job.state === "finished" ? "Its output: " + job.output : "";
  byId("error").textContent = job.error || (job.waiting ? "waits: " + job.waiting : "");
  byId("command").textContent = "stoa hadoop " + job.command.map((word) => /^[\w\/.,:=@%+-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'").join(" ");
  byId("picture").replaceChildren(job.attempts.length ? picture(job) : "");
  const rows = job.attempts.slice(-shownAttempts).reverse();
  byId("more").textContent = job.attempts.length > rows.length ? "The last " + rows.length + " of " + job.attempts.length + "; stoa hadoop job -history " + job.id + " tells all." : "";
  byId("attempts").replaceChildren(...rows.map((a) => element("tr", "",
    element("td", "short", a.id), element("td", kindOf(a) === "failed" ? "bad short" : "short", a.state), element("td", "short", a.slave),
    element("td", "number", a.seconds.toFixed(2)), element("td", "number", bytes(a.input_bytes)), element("td", "number", bytes(a.output_bytes)), element("td", "", a.reason || ""))));
  byId("counters").replaceChildren(...(job.counters || []).flatMap((group) => [
    element("tr", "", element("th", "", group.name), element("th", "")),
    ...group.counters.map((c) => element("tr", "", element("td", "", c.name), element("td", "number", String(c.value))))]));
}

let shown = "";  // the document that is shown, as text: what has not changed is not drawn again
let over = false; // the job that is shown has ended
let timer = 0;

async function refresh() {
  clearTimeout(timer);
  const id = decodeURIComponent(location.hash.slice(1));
  let wait = 1000;
  try {
    const answer = await fetch("api/jobs" + (id ? "/" + encodeURIComponent(id) : ""));
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    if (id !== decodeURIComponent(location.hash.slice(1))) return;
    byId("trouble").hidden = true;
    if (text !== shown) {
      shown = text;
      const found = JSON.parse(text);
      if (id) showJob(found); else showList(found);
      over = Boolean(id) && ended(found);
    }
    if (over) wait = 10000;
  } catch (error) {
    byId("trouble").textContent = error.message === "Failed to fetch" ? "The JobTracker does not answer; trying again." : error.message;
    byId("trouble").hidden = false;
    wait = 3000;
  }
  timer = setTimeout(refresh, wait);
}

window.addEventListener("hashchange", () => { shown = ""; refresh(); });
window.addEventListener("resize", () => { shown = ""; refresh(); });
refresh();
