"use strict";
(() => {
  // What comes from a build is data: it is only ever shown as text.
  const data = JSON.parse(document.getElementById("data").textContent);
  const calls = data.calls.map((row, number) => {
    const [unit, lane, at, wall, waited, cpu, peak, predicted, compiler, kind, tries, status, cache, source] = row;
    return { number, unit, lane, at, wall, end: at + wall, freed: Math.max(at, at + wall - 2), waited, cpu, peak, predicted, tries, status, cache, source,
      compiler: data.compilers[compiler], kind: data.kinds[kind], lower: source.toLowerCase() };
  });
  const units = data.units.length;
  const lanes = data.lanes.map(() => ({ calls: [], longest: 0 }));
  for (const call of calls) {
    const lane = lanes[call.lane];
    lane.calls.push(call);
    lane.longest = Math.max(lane.longest, call.wall);
  }
  const total = calls.reduce((most, call) => Math.max(most, call.end), 1);

  const LEFT = 70, RIGHT = 16, AXIS = 28, QUEUE = 44, MEMORY = 160, GAP = 30, LIST = 10, SHORTEST_MS = 5;
  const laneHeight = lanes.length <= 8 ? 30 : lanes.length <= 24 ? 20 : lanes.length <= 64 ? 12 : 6;
  const lanesEnd = AXIS + laneHeight * lanes.length;
  const queueTop = lanesEnd + GAP, memoryTop = queueTop + QUEUE + GAP, height = memoryTop + MEMORY + 10;

  const $ = (id) => document.getElementById(id);
  const chart = $("chart"), overview = $("overview"), tip = $("tip");
  const view = { from: 0, to: total };
  const hidden = new Set();
  let wanted = "", selected = null, hovered = null, mouse = null, range = null, width = 800, queued = false;
  let events = null, colours = null;

  // ---- words
  const seconds = (ms) => ms < 60000 ? `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s` : clock(ms, ms);
  function clock(ms, span) {
    if (span < 60000) return `${+(ms / 1000).toFixed(3)} s`;
    const all = Math.round(ms / 1000), h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = String(all % 60).padStart(2, "0");
    return h || span >= 3600000 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
  }
  const bytes = (n) => n >= 1e9 ? `${(n / 1e9).toFixed(n < 1e10 ? 1 : 0)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : `${Math.round(n / 1e3)} kB`;
  const short = (source) => source.split("/").slice(-2).join("/");
  function make(tag, text, parent) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  }

  // ---- what changes in time
  function changes(part) {
    const found = [];
    for (const call of calls) {
      if (hidden.has(call.unit)) continue;
      const [begin, end, amount] = part(call);
      if (amount) found.push([begin, call.unit, amount], [end, call.unit, -amount]);
    }
    found.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    let sum = 0, most = 0;
    for (const each of found) most = Math.max(most, sum += each[2]);
    return { found, most };
  }
  function recount() {
    events = {
      memory: changes((call) => [call.at, call.freed, call.peak]),
      waiting: changes((call) => [call.at - call.waited, call.at, call.waited > 10 ? 1 : 0]),
      running: changes((call) => [call.at, call.freed, 1]),
    };
  }

  // For each pixel the moment at which the sum was largest, one area for each unit.
  function areas(ink, { found }, from, to, left, right, bottom, scale) {
    const pixels = Math.max(1, Math.round(right - left)), per = pixels / (to - from);
    const now = new Float64Array(units), best = new Float64Array(pixels).fill(-1), columns = new Float64Array(pixels * units);
    let sum = 0, column = 0;
    const keep = (at) => {
      if (sum <= best[at]) return;
      best[at] = sum;
      columns.set(now, at * units);
    };
    for (const [when, unit, amount] of found) {
      const at = Math.floor((when - from) * per);
      if (at >= pixels) break;
      for (; column < at; column++) { keep(column); }
      if (at >= 0) { keep(at); }
      now[unit] += amount;
      sum += amount;
      if (at >= 0) { keep(at); }
    }
    for (; column < pixels; column++) { keep(column); }
    const base = new Float64Array(pixels);
    for (let unit = 0; unit < units; unit++) {
      let any = false;
      for (let x = 0; x < pixels && !any; x++) any = columns[x * units + unit] > 0;
      if (!any) continue;
      ink.beginPath();
      ink.moveTo(left, bottom - base[0] * scale);
      for (let x = 0; x < pixels; x++) {
        const y = bottom - (base[x] + columns[x * units + unit]) * scale;
        ink.lineTo(left + x, y);
        ink.lineTo(left + x + 1, y);
      }
      for (let x = pixels - 1; x >= 0; x--) {
        ink.lineTo(left + x + 1, bottom - base[x] * scale);
        ink.lineTo(left + x, bottom - base[x] * scale);
        base[x] += columns[x * units + unit];
      }
      ink.fillStyle = data.colours[unit];
      ink.fill();
    }
  }

  // ---- drawing
  function sheet(canvas, high) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(high * ratio);
    canvas.style.height = `${high}px`;
    const ink = canvas.getContext("2d");
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.clearRect(0, 0, width, high);
    ink.font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
    ink.textBaseline = "middle";
    return ink;
  }
  const xOf = (ms) => LEFT + (ms - view.from) / (view.to - view.from) * (width - LEFT - RIGHT);
  const msOf = (x) => view.from + (x - LEFT) / (width - LEFT - RIGHT) * (view.to - view.from);
  const matches = (call) => !wanted || call.lower.includes(wanted);

  function firstSeen(lane) {
    let low = 0, high = lane.calls.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lane.calls[middle].at < view.from - lane.longest) low = middle + 1; else high = middle;
    }
    return low;
  }

  const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5, 432e5, 864e5];
  function grid(ink) {
    const span = view.to - view.from, most = Math.max(2, (width - LEFT) / 110);
    const step = STEPS.find((each) => span / each <= most) || 864e5 * Math.ceil(span / 864e5 / most);
    ink.strokeStyle = colours.line;
    ink.fillStyle = colours.dim;
    ink.textAlign = "center";
    for (let mark = Math.ceil(view.from / step) * step; mark <= view.to; mark += step) {
      const x = Math.round(xOf(mark)) + .5;
      ink.beginPath();
      ink.moveTo(x, AXIS - 6);
      ink.lineTo(x, height);
      ink.stroke();
      ink.fillText(clock(mark, step < 1000 ? 1 : total), x, AXIS / 2 - 1);
    }
  }

  function bar(ink, call, top, faint) {
    const left = xOf(call.at), right = xOf(call.end), wide = Math.max(right - left - (right - left > 3 ? 1 : 0), .8);
    ink.fillStyle = data.colours[call.unit];
    ink.globalAlpha = faint ? .12 : call.cache === "hit" ? .55 : 1;
    ink.beginPath();
    ink.roundRect(left, top + 1, wide, laneHeight - 3, wide > 5 && laneHeight >= 12 ? 3 : 0);
    ink.fill();
    ink.globalAlpha = 1;
    if (call.status && !faint) {
      ink.strokeStyle = colours.bad;
      ink.lineWidth = 2;
      ink.stroke();
      ink.lineWidth = 1;
    }
    if (wide > 60 && laneHeight >= 20 && !faint) {
      ink.save();
      ink.clip();
      ink.fillStyle = "rgba(255, 255, 255, .95)";
      ink.textAlign = "left";
      ink.fillText(call.source.split("/").pop(), Math.max(left, LEFT) + 6, top + laneHeight / 2);
      ink.restore();
    }
  }

  function idle(ink) {
    ink.globalAlpha = .28;
    for (const [lane, unit, from, to] of data.idle) {
      if (to < view.from || from > view.to || hidden.has(unit)) continue;
      const left = xOf(from), wide = xOf(to) - left;
      if (wide < .5) continue;
      ink.fillStyle = data.colours[unit];
      ink.fillRect(left, AXIS + lane * laneHeight + 1, wide, laneHeight - 3);
    }
    ink.globalAlpha = 1;
  }

  function bars(ink) {
    lanes.forEach((lane, number) => {
      const top = AXIS + number * laneHeight;
      let drawn = -1;
      for (let n = firstSeen(lane); n < lane.calls.length; n++) {
        const call = lane.calls[n];
        if (call.at > view.to) break;
        if (hidden.has(call.unit)) continue;
        const faint = !matches(call), begin = xOf(call.at), end = xOf(call.end);
        if (end < drawn + .5 && end - begin < .5 && call !== selected) continue; // another is there already
        drawn = end;
        bar(ink, call, top, faint);
      }
    });
  }

  function outline(ink, call, colour) {
    const left = xOf(call.at), wide = Math.max(xOf(call.end) - left, 3);
    ink.strokeStyle = colour;
    ink.lineWidth = 2;
    ink.strokeRect(left - 1, AXIS + call.lane * laneHeight, wide + 1, laneHeight - 1);
    ink.lineWidth = 1;
  }

  function draw() {
    queued = false;
    const style = getComputedStyle(document.documentElement), name = (n) => style.getPropertyValue(`--${n}`).trim();
    colours = { page: name("page"), lane: name("lane"), line: name("line"), text: name("text"), dim: name("dim"), accent: name("accent"), bad: name("bad") };
    width = Math.max(320, chart.parentElement.clientWidth);
    const ink = sheet(chart, height);
    ink.fillStyle = colours.lane;
    lanes.forEach((_, n) => ink.fillRect(LEFT, AXIS + n * laneHeight, width - LEFT - RIGHT, laneHeight - 1));
    grid(ink);
    ink.save();
    ink.beginPath();
    ink.rect(LEFT, 0, width - LEFT - RIGHT, height);
    ink.clip();
    idle(ink);
    bars(ink);
    ink.globalAlpha = .4;
    areas(ink, events.waiting, view.from, view.to, LEFT, width - RIGHT, queueTop + QUEUE, QUEUE / Math.max(1, events.waiting.most));
    ink.globalAlpha = 1;
    const used = events.memory.most, above = used >= data.budget * .4 ? data.budget : 0; // else nothing would be seen
    const most = Math.max(used, above, 1) * 1.08, scale = MEMORY / most;
    areas(ink, events.memory, view.from, view.to, LEFT, width - RIGHT, memoryTop + MEMORY, scale);
    if (selected && !hidden.has(selected.unit)) outline(ink, selected, colours.text);
    if (hovered && hovered !== selected) outline(ink, hovered, colours.accent);
    cursor(ink);
    ink.restore();
    labels(ink, most, scale);
    drawOverview();
    chart.setAttribute("aria-valuetext", `${clock(view.from, total)} to ${clock(view.to, total)}`);
  }

  function cursor(ink) {
    if (range) {
      ink.fillStyle = colours.accent;
      ink.globalAlpha = .18;
      ink.fillRect(Math.min(range.a, range.b), AXIS, Math.abs(range.b - range.a), height);
      ink.globalAlpha = 1;
    } else if (mouse !== null) {
      ink.strokeStyle = colours.dim;
      ink.setLineDash([2, 3]);
      ink.beginPath();
      ink.moveTo(Math.round(mouse) + .5, AXIS);
      ink.lineTo(Math.round(mouse) + .5, height);
      ink.stroke();
      ink.setLineDash([]);
    }
  }

  function labels(ink, most, scale) {
    ink.fillStyle = colours.dim;
    ink.textAlign = "right";
    if (laneHeight >= 12) lanes.forEach((_, n) => ink.fillText(data.lanes[n], LEFT - 8, AXIS + (n + .5) * laneHeight));
    ink.textAlign = "left";
    ink.fillText(`waiting: at most ${events.waiting.most}`, LEFT, queueTop - 10);
    const of = data.budget ? ` of ${bytes(data.budget)}` : "";
    ink.fillText(`memory: at most ${bytes(events.memory.most)}${of}, each call at its peak`, LEFT, memoryTop - 10);
    ink.textAlign = "right";
    const raw = most / 4, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
    for (let mark = step; mark < most; mark += step) {
      const y = Math.round(memoryTop + MEMORY - mark * scale) + .5;
      ink.strokeStyle = colours.line;
      ink.globalAlpha = .5;
      ink.beginPath();
      ink.moveTo(LEFT, y);
      ink.lineTo(width - RIGHT, y);
      ink.stroke();
      ink.globalAlpha = 1;
      ink.fillText(bytes(mark), LEFT - 8, y);
    }
    if (!data.budget || data.budget > most) return;
    const y = Math.round(memoryTop + MEMORY - data.budget * scale) + .5;
    ink.strokeStyle = ink.fillStyle = colours.bad;
    ink.setLineDash([6, 4]);
    ink.beginPath();
    ink.moveTo(LEFT, y);
    ink.lineTo(width - RIGHT, y);
    ink.stroke();
    ink.setLineDash([]);
    ink.fillText("budget", width - RIGHT - 4, y - 9);
  }

  function drawOverview() {
    const high = 44, ink = sheet(overview, high), left = LEFT, right = width - RIGHT;
    areas(ink, events.running, 0, total, left, right, high, (high - 4) / Math.max(1, events.running.most));
    const x = (ms) => left + ms / total * (right - left), from = x(view.from), to = Math.max(x(view.to), x(view.from) + 3);
    ink.fillStyle = colours.page;
    ink.globalAlpha = .72;
    ink.fillRect(0, 0, from, high);
    ink.fillRect(to, 0, width - to, high);
    ink.globalAlpha = 1;
    ink.strokeStyle = colours.accent;
    ink.strokeRect(from + .5, .5, to - from - 1, high - 1);
    ink.fillStyle = colours.dim;
    ink.textAlign = "right";
    ink.fillText("all", LEFT - 8, high / 2);
  }

  const redraw = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(draw);
  };

  // ---- moving
  function show(from, to) {
    const span = Math.min(Math.max(to - from, SHORTEST_MS), total);
    view.from = Math.min(Math.max(from, 0), total - span);
    view.to = view.from + span;
    redraw();
  }
  function zoom(factor, ms = (view.from + view.to) / 2) {
    const span = (view.to - view.from) * factor, part = (ms - view.from) / (view.to - view.from);
    show(ms - span * part, ms + span * (1 - part));
  }
  const move = (part) => show(view.from + part * (view.to - view.from), view.to + part * (view.to - view.from));
  const zoomTo = (call) => show(call.at - Math.max(call.wall, 50) * .6, call.end + Math.max(call.wall, 50) * .6);

  function about(call) {
    return [
      `${seconds(call.wall)}, ${seconds(call.cpu)} CPU, from ${clock(call.at, total)}`,
      `${bytes(call.peak)} at most, ${bytes(call.predicted)} set aside`,
      `waited ${seconds(call.waited)}${call.cache === "none" ? "" : `, cache ${call.cache}`}${call.tries > 1 ? `, try ${call.tries}` : ""}`,
      `${data.units[call.unit]}, ${call.compiler}, ${call.kind}, ${data.lanes[call.lane]}`,
    ];
  }
  function select(call) {
    selected = call;
    if (!call) {
      $("said").textContent = "";
      return redraw();
    }
    if (call.at < view.from || call.end > view.to) {
      const span = Math.max(view.to - view.from, call.wall * 1.4), middle = call.at + call.wall / 2;
      show(middle - span / 2, middle + span / 2);
    }
    $("said").textContent = [short(call.source), ...(call.status ? [`failed, status ${call.status}`] : []), ...about(call)].join(" · ");
    redraw();
  }
  function at(x, y) {
    const lane = lanes[Math.floor((y - AXIS) / laneHeight)], when = msOf(x), near = msOf(x + 2) - when;
    if (!lane || y < AXIS || x < LEFT) return null;
    let found = null;
    for (let n = firstSeen(lane); n < lane.calls.length && lane.calls[n].at <= when + near; n++) {
      const call = lane.calls[n];
      if (call.end >= when - near && !hidden.has(call.unit)) found = call;
    }
    return found;
  }
  function showTip(x, y) {
    tip.hidden = !hovered;
    if (!hovered) return;
    tip.replaceChildren();
    make("b", short(hovered.source), tip);
    if (hovered.status) make("span", `failed, status ${hovered.status}`, tip).className = "bad";
    about(hovered).forEach((line) => make("span", line, tip));
    const beyond = x + 24 + tip.offsetWidth > width;
    tip.style.left = `${Math.max(4, beyond ? x - tip.offsetWidth - 14 : x + 14)}px`;
    tip.style.top = `${y + chart.offsetTop + 16}px`;
  }

  function neighbour(step) {
    if (!selected) return calls.find((call) => call.end >= view.from && !hidden.has(call.unit)) || null;
    const own = lanes[selected.lane].calls;
    let n = own.indexOf(selected) + step;
    while (own[n] && (hidden.has(own[n].unit) || !matches(own[n]))) n += step;
    return own[n] || selected;
  }
  function otherLane(step) {
    if (!selected) return neighbour(1);
    const middle = selected.at + selected.wall / 2;
    for (let lane = selected.lane + step; lanes[lane]; lane += step) {
      const own = lanes[lane].calls.filter((call) => !hidden.has(call.unit) && matches(call));
      if (own.length) return own.reduce((best, call) => Math.abs(call.at + call.wall / 2 - middle) < Math.abs(best.at + best.wall / 2 - middle) ? call : best);
    }
    return selected;
  }

  const KEYS = {
    ArrowRight: (e) => e.shiftKey ? move(.2) : select(neighbour(1)),
    ArrowLeft: (e) => e.shiftKey ? move(-.2) : select(neighbour(-1)),
    ArrowDown: () => select(otherLane(1)),
    ArrowUp: () => select(otherLane(-1)),
    PageDown: () => move(.8),
    PageUp: () => move(-.8),
    Home: () => show(0, view.to - view.from),
    End: () => show(total - (view.to - view.from), total),
    "+": () => zoom(.6, selected ? selected.at + selected.wall / 2 : undefined),
    "=": () => zoom(.6, selected ? selected.at + selected.wall / 2 : undefined),
    "-": () => zoom(1 / .6),
    0: () => show(0, total),
    Enter: () => selected && zoomTo(selected),
    Escape: () => select(null),
  };
  chart.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      $("find").focus();
    } else if (event.key === "t") turn();
  });

  let drag = null;
  const placed = (event, canvas) => [event.clientX - canvas.getBoundingClientRect().left, event.clientY - canvas.getBoundingClientRect().top];
  chart.addEventListener("pointerdown", (event) => {
    const [x] = placed(event, chart);
    drag = { x, from: view.from, to: view.to, moved: false };
    if (event.shiftKey) range = { a: x, b: x };
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    const [x, y] = placed(event, chart);
    mouse = x;
    if (drag) {
      drag.moved = drag.moved || Math.abs(x - drag.x) > 3;
      if (range) range.b = x;
      else if (drag.moved) {
        const by = (drag.x - x) / (width - LEFT - RIGHT) * (drag.to - drag.from);
        show(drag.from + by, drag.to + by);
      }
    }
    hovered = drag && drag.moved ? null : at(x, y);
    showTip(x, y);
    redraw();
  });
  chart.addEventListener("pointerup", (event) => {
    const [x, y] = placed(event, chart), was = range;
    range = null;
    if (was && Math.abs(was.b - was.a) > 4) show(msOf(Math.min(was.a, was.b)), msOf(Math.max(was.a, was.b)));
    else if (drag && !drag.moved) select(at(x, y));
    drag = null;
    redraw();
  });
  chart.addEventListener("pointercancel", () => { drag = range = null; });
  chart.addEventListener("pointerleave", () => {
    mouse = hovered = null;
    tip.hidden = true;
    redraw();
  });
  chart.addEventListener("dblclick", (event) => {
    const found = at(...placed(event, chart));
    if (found) zoomTo(found); else zoom(.5, msOf(placed(event, chart)[0]));
  });
  chart.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), msOf(placed(event, chart)[0]));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / width);
    else if (event.shiftKey) move(event.deltaY / width);
    else return;
    event.preventDefault();
  }, { passive: false });

  const jump = (event) => {
    const [x] = placed(event, overview), middle = (x - LEFT) / (width - LEFT - RIGHT) * total, half = (view.to - view.from) / 2;
    show(middle - half, middle + half);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    jump(event);
  });
  overview.addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });

  // ---- around it
  function turn() {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    redraw();
  }
  $("in").onclick = () => zoom(.5);
  $("out").onclick = () => zoom(2);
  $("fit").onclick = () => show(0, total);
  $("theme").onclick = turn;
  $("find").addEventListener("input", () => {
    wanted = $("find").value.trim().toLowerCase();
    const count = wanted ? calls.filter((call) => matches(call) && !hidden.has(call.unit)).length : 0;
    $("said").textContent = wanted ? `${count} of ${calls.length} calls` : "";
    redraw();
  });
  $("find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const found = calls.filter((call) => matches(call) && !hidden.has(call.unit)), next = found.findIndex((call) => selected && call.number > selected.number);
    if (found.length) select(found[Math.max(0, next)]);
  });

  function legend() {
    data.units.forEach((unit, number) => {
      const button = make("button", undefined, $("legend"));
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      make("i", undefined, button).style.background = data.colours[number];
      make("span", unit, button);
      button.onclick = () => {
        if (!hidden.delete(number)) hidden.add(number);
        button.setAttribute("aria-pressed", String(!hidden.has(number)));
        recount();
        redraw();
      };
    });
  }
  function fact(name, value, beside = "") {
    const box = make("div", undefined, $("facts"));
    make("dt", name, box);
    const said = make("dd", value, box);
    make("small", beside, said);
  }
  function facts() {
    const sum = (part) => calls.reduce((all, call) => all + part(call), 0);
    const cpu = sum((call) => call.cpu), hits = sum((call) => +(call.cache === "hit")), asked = hits + sum((call) => +(call.cache === "miss"));
    const retried = sum((call) => +(call.tries > 1)), failed = sum((call) => +(call.status !== 0));
    fact("wall", seconds(total));
    fact("CPU", seconds(cpu), `${(cpu / total).toFixed(1)}${data.cores ? ` of ${data.cores}` : ""} cores busy`);
    fact("memory", bytes(events.memory.most), data.budget ? `of ${bytes(data.budget)}` : "at most");
    fact("calls", calls.length.toLocaleString("en"), [retried && `${retried} again`, failed && `${failed} failed`].filter(Boolean).join(", "));
    if (asked) fact("compile cache", `${Math.floor(100 * hits / asked)} %`, `${hits} of ${asked} hit`);
    fact("idle slots", seconds(data.idle.reduce((all, [, , from, to]) => all + to - from, 0)), "waited for memory");
    const notes = [new Date(data.started * 1000).toLocaleString(), `${units} unit${units === 1 ? "" : "s"}`];
    if (data.leftOut) notes.push(`${data.leftOut} shorter calls are left out`);
    if (data.skipped) notes.push(`${data.skipped} damaged lines were skipped`);
    $("subtitle").textContent = notes.join(" · ");
  }
  function list(title, figure, words) {
    const box = make("div", undefined, $("lists"));
    make("h2", title, box);
    const items = make("ol", undefined, box), top = [...calls].sort((a, b) => figure(b) - figure(a)).slice(0, LIST);
    for (const call of top) {
      const button = make("button", undefined, make("li", undefined, items));
      button.type = "button";
      make("em", words(figure(call)), button);
      make("bdi", short(call.source), make("span", undefined, button));
      const line = make("i", undefined, button);
      line.style.background = data.colours[call.unit];
      line.style.width = `${100 * figure(call) / Math.max(figure(top[0]), 1)}%`;
      button.title = `${call.source}\n${data.units[call.unit]}`;
      button.onclick = () => {
        zoomTo(call);
        select(call);
        chart.focus();
        chart.scrollIntoView({ block: "center" });
      };
    }
  }

  recount();
  legend();
  facts();
  list("longest", (call) => call.wall, seconds);
  list("largest", (call) => call.peak, bytes);
  new ResizeObserver(redraw).observe(chart.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  draw();
  document.documentElement.dataset.ready = "1";
})();
