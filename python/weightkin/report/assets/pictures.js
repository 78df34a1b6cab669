// Pictures of one pair of models: groups, nulls, roles by layers, norms, blocks.

function variants(spec, label, state, redraw) {
  if (spec.variants.length < 2) return null;
  return choice(label, spec.variants.map((one, at) => [at, one.label]), (value) => {
    state.variant = Number(value);
    redraw();
  }, state.variant);
}

function controls(root, ...parts) {
  const held = parts.filter(Boolean);
  if (held.length) root.append(element("div", { className: "controls" }, ...held));
}

function note(root, text) {
  if (text) root.append(element("p", { className: "note" }, text));
}

const heatmapMargin = { l: 10, r: 10, t: 16, b: 40 };

function groups(root, spec) {
  const state = { variant: 0, level: "group" };
  const chart = () => drawnChart.draw();
  controls(root, variants(spec, "Pair", state, chart),
    choice("By", [["group", "group of roles"], ["role", "role"]], (value) => { state.level = value; chart(); }));
  note(root, "Left, the effect: the Pearson correlation with its 95 % interval, beside the cosine and the cosine that uncorrelated " +
    "weights of the same moments would have. Right, the evidence: z against relabelled copies, on an axis that is logarithmic beyond ±1.");
  const drawnChart = new Chart(root, spec.title, () => {
    const level = spec.variants[state.variant].levels[state.level];
    const get = (name) => Array.from(column(level[name]));
    const y = level.names.map(plain);
    const [pearson, z] = [get("pearson"), get("z")];
    const dots = (name, x, symbol, color, more = {}) =>
      ({ type: "scatter", mode: "markers", name, x, y, marker: { symbol, color, size: 10 }, ...more });
    const interval = {
      type: "data", symmetric: false, array: get("pearson_high").map((high, at) => high - pearson[at]),
      arrayminus: get("pearson_low").map((low, at) => pearson[at] - low), color: INK.blue,
    };
    const says = level.names.map((name, at) => `${name}: Pearson ${significant(pearson[at])}, z ${significant(z[at])}`).join("; ");
    const { text } = colours();
    return {
      says,
      traces: [
        dots("cosine if uncorrelated", get("cosine_if_uncorrelated"), "line-ns-open", INK.orange, { marker: { symbol: "line-ns-open", color: INK.orange, size: 15, line: { width: 3 } } }),
        dots("cosine", get("cosine"), "circle-open", INK.red, { marker: { symbol: "circle-open", color: INK.red, size: 13, line: { width: 2 } } }),
        dots("Pearson", pearson, "diamond", INK.blue, { error_x: interval }),
        { type: "bar", orientation: "h", name: "z", y, x: z.map(Math.asinh), customdata: z, marker: { color: INK.green },
          text: z.map((value) => (Number.isNaN(value) ? "" : value.toFixed(1))), textposition: "outside", cliponaxis: false, textfont: { color: text },
          hovertemplate: "%{y}: z = %{customdata:.2f}<extra></extra>", xaxis: "x2", showlegend: false, width: 0.5 },
      ],
      layout: {
        height: 130 + 34 * y.length, margin: { l: 10, r: 10, t: 50, b: 45 },
        xaxis: { domain: [0, 0.55], range: [Math.min(-0.15, ...pearson.filter(Number.isFinite)) - 0.05, 1.06], title: { text: "effect" } },
        xaxis2: { ...deviations(z, "z"), domain: [0.62, 1] }, yaxis: { autorange: "reversed", type: "category" },
      },
    };
  });
  return [drawnChart];
}

function nulls(root, spec) {
  const state = { variant: 0, level: "group", at: 0 };
  const own = () => spec.variants[state.variant];
  const rows = () => own().levels.map((level, at) => (level === state.level ? at : -1)).filter((at) => at >= 0);
  const statistic = choice("Statistic", [], (value) => { state.at = Number(value); charts[1].draw(); });
  const refill = () => {
    statistic.querySelector("select").replaceChildren(...rows().map((at) => element("option", { value: at }, own().names[at])));
    state.at = rows()[0] ?? 0;
  };
  const redraw = () => { refill(); charts.forEach((chart) => chart.draw()); };
  const held = new Set(spec.variants.flatMap(({ levels }) => levels));
  const levels = [["group", "group of roles"], ["role", "role"], ["layer", "group and layer"], ["component", "component"]];
  controls(root, variants(spec, "Pair", state, redraw),
    choice("By", levels.filter(([level]) => held.has(level)), (value) => { state.level = value; redraw(); }));
  if (!held.has("group")) state.level = levels.find(([level]) => held.has(level))[0];
  note(root, "Grey: where relabelled copies of B lie, their 5 % to 95 % as a thick line, all of them as a thin one. Diamond: the observed " +
    `value. Both in standard deviations of the copies; the axis is logarithmic beyond ±1. ${spec.note}`);
  const overview = new Chart(root, spec.title, () => {
    const at = rows();
    const get = (name) => at.map((row) => column(own()[name])[row]);
    const names = at.map((row) => plain(own().names[row]));
    const z = get("z");
    const { zero } = colours();
    const line = (from, to, width, name) => ({
      type: "scatter", mode: "lines", name, line: { color: zero, width }, hoverinfo: "skip",
      x: from.flatMap((value, row) => [Math.asinh(value), Math.asinh(to[row]), null]), y: names.flatMap((one) => [one, one, null]),
    });
    return {
      says: at.map((row, place) => `${own().names[row]}: z ${significant(z[place])}`).slice(0, 20).join("; "),
      traces: [
        line(get("low"), get("high"), 2, "all copies"), line(get("q05"), get("q95"), 9, "5 % to 95 %"),
        { type: "scatter", mode: "markers", name: "observed", x: z.map(Math.asinh), y: names, customdata: get("p").map((p, row) => [z[row], p]),
          marker: { symbol: "diamond", size: 11, color: INK.red }, hovertemplate: "%{y}: z = %{customdata[0]:.2f}, p of the rank = %{customdata[1]:.3g}<extra></extra>" },
      ],
      layout: { height: Math.min(1400, 130 + 26 * at.length), margin: { l: 10, r: 10, t: 40, b: 45 },
        xaxis: deviations([...z, ...get("low"), ...get("high")], "standard deviations of the copies"), yaxis: { autorange: "reversed", type: "category" } },
    };
  });
  refill();
  controls(root, statistic);
  const single = new Chart(root, "Histogram of one null", () => {
    const [low, high, z, p, draws] = ["low", "high", "z", "p", "draws"].map((name) => column(own()[name])[state.at]);
    const bins = column(own().histograms).slice(state.at * spec.bins, (state.at + 1) * spec.bins);
    const width = (high - low) / spec.bins;
    const top = Math.max(...bins);
    const name = plain(own().names[state.at]);
    const far = z > high + 3 * (high - low);
    const shown = far ? high + (high - low) : z;
    const ticks = Array.from({ length: Math.floor(far ? high : Math.max(high, z)) - Math.ceil(Math.min(low, z)) + 1 }, (_, at) => Math.ceil(Math.min(low, z)) + at);
    const said = `observed: z = ${significant(z)}${far ? " (far to the right) →" : ""}`;
    const { text, zero } = colours();
    return {
      says: `${own().names[state.at]}: ${draws} copies between ${significant(low)} and ${significant(high)}, observed ${significant(z)}, p of the rank ${significant(p)}`,
      traces: [
        { type: "bar", x: Array.from(bins, (_, at) => low + (at + 0.5) * width), y: Array.from(bins), width, name: `${draws} relabelled copies`, marker: { color: zero } },
        { type: "scatter", mode: "lines+text", x: [shown, shown], y: [0, top], text: ["", said], textposition: shown > (low + high) / 2 ? "top left" : "top right",
          line: { color: INK.red, width: 3, dash: far ? "dot" : "solid" }, name: "observed", hoverinfo: "skip", textfont: { color: text } },
      ],
      layout: { height: 280, title: { text: name, font: { size: 13 } }, showlegend: false, bargap: 0, yaxis: { title: { text: "copies" }, range: [0, top * 1.2] },
        xaxis: { title: { text: "standard deviations of the copies" }, tickvals: ticks } },
    };
  });
  const charts = [overview, single];
  return charts;
}

function roles(root, spec) {
  const state = { variant: 0, measure: "pearson" };
  const own = () => spec.variants[state.variant];
  const redraw = () => chart.draw();
  const measures = ["pearson", "cosine", "cosine_if_uncorrelated", "z", ...(spec.variants.some(({ pooled }) => pooled) ? ["pooled"] : [])];
  controls(root, variants(spec, "Pair", state, redraw),
    choice("Measure", measures.map((name) => [name, MEASURES[name][0]]), (value) => { state.measure = value; redraw(); }));
  note(root, "Experts of a layer are one cell: the mean over their parameters, for z the mean over the tensors. A cosine means something only " +
    "beside the cosine if uncorrelated. Empty: not compared, or no value.");
  const chart = new Chart(root, spec.title, () => {
    const { measure } = state;
    const pooled = measure === "pooled";
    const names = pooled ? own().pooled?.roles ?? [] : own().roles;
    const values = pooled ? own().pooled && column(own().pooled.z) : column(own().measures[measure]);
    const z = values ? matrix(values, names.length, own().layers.length) : [];
    return {
      says: `${MEASURES[measure][0]} of ${names.length} rows in ${own().layers.length} layers`,
      traces: [heat(measure, z, own().layers, names.map(plain), { hovertemplate: `%{y}, layer %{x}: ${MEASURES[measure][0]} %{customdata:.5~g}<extra></extra>` })],
      layout: { height: 110 + 24 * Math.max(4, names.length), margin: heatmapMargin, xaxis: whole("layer (of B)", own().layers.length),
        yaxis: { autorange: "reversed", type: "category", showgrid: false } },
    };
  });
  return [chart];
}

function norms(root, spec) {
  const state = { variant: 0, role: 0 };
  const own = () => spec.variants[state.variant];
  const redraw = () => chart.draw();
  const names = [...new Set(spec.variants.flatMap((one) => one.roles))];
  controls(root, variants(spec, "Pair", state, redraw),
    choice("Norm", names.map((name, at) => [at, name]), (value) => { state.role = Number(value); redraw(); }));
  note(root, "Gains lie near a positive constant, so their cosine is near the one that uncorrelated gains of the same moments would have. " +
    "What two models share is in the Pearson. Below: deviation over mean of the gains of A and of B.");
  const chart = new Chart(root, spec.title, () => {
    const at = own().roles.indexOf(names[state.role]);
    const x = own().layers;
    const get = (name) => (at < 0 ? [] : Array.from(column(own().measures[name]).slice(at * x.length, (at + 1) * x.length), known));
    const line = (name, title, color, dash, symbol, more = {}) =>
      ({ type: "scatter", mode: "lines+markers", name: title, x, y: get(name), line: { color, dash }, marker: { symbol, size: 7 }, ...more });
    return {
      says: `${names[state.role]}: Pearson by layer ${get("pearson").map(significant).join(", ")}`,
      traces: [
        line("cosine", "cosine", INK.red, "solid", "circle-open"), line("cosine_if_uncorrelated", "cosine if uncorrelated", INK.orange, "dot", "line-ns-open"),
        line("pearson", "Pearson", INK.blue, "solid", "diamond"),
        line("cv_a", "deviation / mean, A", INK.green, "solid", "square", { yaxis: "y2" }), line("cv_b", "deviation / mean, B", INK.pink, "dash", "x", { yaxis: "y2" }),
      ],
      layout: { height: 440, margin: { l: 10, r: 10, t: 60, b: 40 }, xaxis: { ...whole("layer (of B)", x.length), anchor: "y2" },
        yaxis: { domain: [0.4, 1], rangemode: "tozero", title: { text: "similarity" } }, yaxis2: { domain: [0, 0.3], rangemode: "tozero", title: { text: "moments" } } },
    };
  });
  return [chart];
}

function blocks(root, spec) {
  const state = { row: null, measure: "pearson" };
  const tensors = column(spec.tensors);
  const sizes = column(spec.sizes);
  const starts = sizes.reduce((found, size) => [...found, found.at(-1) + size], [0]);
  const title = element("p", { className: "note" });
  const find = element("input", { type: "search", placeholder: "name of a tensor", "aria-label": "Find a tensor" });
  controls(root, choice("Measure", Object.keys(spec.measures).map((name) => [name, MEASURES[name][0]]), (value) => { state.measure = value; chart.draw(); }),
    element("label", {}, "Tensor ", find));
  note(root, `One cell per block of about a million elements, in the order in which they are stored. ${spec.note}`);
  root.append(title);
  const get = (key) => column(spec.table.columns.find((one) => one.key === key).data);
  const nameOf = (row) => get("name_a")[row] ?? (spec.table.columns.some(({ key }) => key === "name_b") ? get("name_b")[row] : null) ?? "?";
  find.addEventListener("change", () => {
    const wanted = find.value.trim();
    const names = Array.from(get("name_a"), (_, row) => nameOf(row));
    const row = names.indexOf(wanted) >= 0 ? names.indexOf(wanted) : names.findIndex((name) => name.includes(wanted));
    if (wanted && row >= 0) choose(row);
    else title.textContent = `No tensor has ${JSON.stringify(wanted)} in its name.`;
  });
  const choose = (row) => { state.row = row; chart.draw(); };
  const chart = new Chart(root, spec.title, () => {
    const place = tensors.indexOf(state.row);
    const values = place < 0 ? [get(state.measure)[state.row]] : Array.from(column(spec.measures[state.measure]).slice(starts[place], starts[place + 1]));
    const total = get("parameters")[state.row];
    const step = place < 0 ? total : column(spec.step)[place];
    const across = Math.min(values.length, values.length > 256 ? 64 : 32);
    const down = Math.ceil(values.length / across);
    const z = matrix([...values, ...Array(across * down - values.length).fill(NaN)], down, across);
    const ranges = z.map((line, row) => line.map((_, at) => {
      const first = (row * across + at) * step;
      return `elements ${first.toLocaleString("en")} to ${Math.min(total, first + step).toLocaleString("en")}`;
    }));
    title.textContent = `${nameOf(state.row)}: ${values.length === 1 ? "one block" : `${values.length.toLocaleString("en")} blocks`}` +
      `${get("status")[state.row] === "untested" ? `, not tested (${get("reason")[state.row]})` : ""}`;
    return {
      says: title.textContent,
      traces: [heat(state.measure, z, z[0].map((_, at) => at), z.map((_, row) => row * across), { text: ranges,
        hovertemplate: `%{text}: ${MEASURES[state.measure][0]} %{customdata:.5~g}<extra></extra>` })],
      layout: { height: Math.max(190, 90 + 22 * Math.min(down, 30)), margin: heatmapMargin, xaxis: { title: { text: "block" }, showgrid: false, zeroline: false, dtick: across > 16 ? 8 : 1 },
        yaxis: { autorange: "reversed", showgrid: false, type: "category" } },
    };
  });
  state.row = tensors.length ? tensors[0] : 0;
  chart.choose = (row) => { choose(row); root.scrollIntoView({ block: "nearest" }); };
  return [chart];
}
