// Roles by layers, norms, and the blocks of a tensor.

function roles(root, spec) {
  const state = { variant: 0, measure: "pearson" };
  const own = () => spec.variants[state.variant];
  const redraw = () => chart.draw();
  const measures = [
    "pearson",
    "cosine",
    "cosine_if_uncorrelated",
    "z",
    ...(spec.variants.some(({ pooled }) => pooled) ? ["pooled"] : []),
  ];
  controls(
    root,
    variants(spec, "Pair", state, redraw),
    choice(
      "Measure",
      measures.map((name) => [name, MEASURES[name][0]]),
      (value) => {
        state.measure = value;
        redraw();
      },
    ),
  );
  note(
    root,
    "Experts of a layer are one cell: the mean over their parameters, for z the mean over the tensors. A cosine means something only " +
      `beside the cosine if uncorrelated. Empty: not compared, or no value. ${spec.note}`,
  );
  const chart = new Chart(root, spec.title, () => {
    const { measure } = state;
    const pooled = measure === "pooled";
    const names = pooled ? (own().pooled?.roles ?? []) : own().roles;
    const values = pooled ? own().pooled && column(own().pooled.z) : column(own().measures[measure]);
    const z = values ? matrix(values, names.length, own().layers.length) : [];
    return {
      says: `${MEASURES[measure][0]} of ${names.length} rows in ${own().layers.length} layers`,
      traces: [
        heat(measure, z, own().layers, names.map(plain), {
          hovertemplate: `%{y}, layer %{x}: ${MEASURES[measure][0]} %{customdata:.5~g}<extra></extra>`,
        }),
      ],
      layout: {
        height: 110 + 24 * Math.max(4, names.length),
        margin: HEAT_MARGIN,
        xaxis: whole("layer (of B)", own().layers.length),
        yaxis: { autorange: "reversed", type: "category", showgrid: false },
      },
    };
  });
  return [chart];
}

function norms(root, spec) {
  const state = { variant: 0, role: 0 };
  const own = () => spec.variants[state.variant];
  const redraw = () => chart.draw();
  const names = [...new Set(spec.variants.flatMap((one) => one.roles))];
  controls(
    root,
    variants(spec, "Pair", state, redraw),
    choice(
      "Norm",
      names.map((name, at) => [at, name]),
      (value) => {
        state.role = Number(value);
        redraw();
      },
    ),
  );
  note(
    root,
    "Gains lie near a positive constant, so their cosine is near the one that uncorrelated gains of the same moments would have. " +
      `What two models share is in the Pearson. Below: deviation over mean of the gains of A and of B. ${spec.note}`,
  );
  const chart = new Chart(root, spec.title, () => {
    const at = own().roles.indexOf(names[state.role]);
    const x = own().layers;
    const get = (name) =>
      at < 0 ? [] : Array.from(column(own().measures[name]).slice(at * x.length, (at + 1) * x.length), known);
    const line = (name, title, color, dash, symbol, more = {}) => ({
      type: "scatter",
      mode: "lines+markers",
      name: title,
      x,
      y: get(name),
      line: { color, dash },
      marker: { symbol, size: 7 },
      ...more,
    });
    return {
      says: `${names[state.role]}: Pearson by layer ${get("pearson").map(significant).join(", ")}`,
      traces: [
        line("cosine", "cosine", INK.red, "solid", "circle-open"),
        line("cosine_if_uncorrelated", "cosine if uncorrelated", INK.orange, "dot", "line-ns-open"),
        line("pearson", "Pearson", INK.blue, "solid", "diamond"),
        line("cv_a", "deviation / mean, A", INK.green, "solid", "square", { yaxis: "y2" }),
        line("cv_b", "deviation / mean, B", INK.pink, "dash", "x", { yaxis: "y2" }),
      ],
      layout: {
        height: 440,
        margin: { l: 10, r: 10, t: 60, b: 40 },
        xaxis: { ...whole("layer (of B)", x.length), anchor: "y2" },
        yaxis: { domain: [0.4, 1], rangemode: "tozero", title: { text: "similarity" } },
        yaxis2: { domain: [0, 0.3], rangemode: "tozero", title: { text: "moments" } },
      },
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
  controls(
    root,
    choice(
      "Measure",
      Object.keys(spec.measures).map((name) => [name, MEASURES[name][0]]),
      (value) => {
        state.measure = value;
        chart.draw();
      },
    ),
    element("label", {}, "Tensor ", find),
  );
  note(root, `One cell per block of about a million elements, in the order in which they are stored. ${spec.note}`);
  root.append(title);
  const get = (key) => column(spec.table.columns.find((one) => one.key === key).data);
  const nameOf = (row) =>
    get("name_a")[row] ?? (spec.table.columns.some(({ key }) => key === "name_b") ? get("name_b")[row] : null) ?? "?";
  find.addEventListener("change", () => {
    const wanted = find.value.trim();
    const names = Array.from(get("name_a"), (_, row) => nameOf(row));
    const row = names.indexOf(wanted) >= 0 ? names.indexOf(wanted) : names.findIndex((name) => name.includes(wanted));
    if (wanted && row >= 0) choose(row);
    else title.textContent = `No tensor has ${JSON.stringify(wanted)} in its name.`;
  });
  const choose = (row) => {
    state.row = row;
    chart.draw();
  };
  const chart = new Chart(root, spec.title, () => {
    const place = tensors.indexOf(state.row);
    const values =
      place < 0
        ? [get(state.measure)[state.row]]
        : Array.from(column(spec.measures[state.measure]).slice(starts[place], starts[place + 1]));
    const total = get("parameters")[state.row];
    const step = place < 0 ? total : column(spec.step)[place];
    const across = Math.min(values.length, values.length > 256 ? 64 : 32);
    const down = Math.ceil(values.length / across);
    const z = matrix([...values, ...Array(across * down - values.length).fill(NaN)], down, across);
    const ranges = z.map((line, row) =>
      line.map((_, at) => {
        const first = (row * across + at) * step;
        return `elements ${first.toLocaleString("en")} to ${Math.min(total, first + step).toLocaleString("en")}`;
      }),
    );
    title.textContent =
      `${nameOf(state.row)}: ${values.length === 1 ? "one block" : `${values.length.toLocaleString("en")} blocks`}` +
      `${get("status")[state.row] === "untested" ? `, not tested (${get("reason")[state.row]})` : ""}`;
    return {
      says: title.textContent,
      traces: [
        heat(
          state.measure,
          z,
          z[0].map((_, at) => at),
          z.map((_, row) => row * across),
          { text: ranges, hovertemplate: `%{text}: ${MEASURES[state.measure][0]} %{customdata:.5~g}<extra></extra>` },
        ),
      ],
      layout: {
        height: Math.max(190, 90 + 22 * Math.min(down, 30)),
        margin: HEAT_MARGIN,
        xaxis: { title: { text: "block" }, showgrid: false, zeroline: false, dtick: across > 16 ? 8 : 1 },
        yaxis: { autorange: "reversed", showgrid: false, type: "category" },
      },
    };
  });
  state.row = tensors.length ? tensors[0] : 0;
  chart.choose = (row) => {
    choose(row);
    root.scrollIntoView({ block: "nearest" });
  };
  return [chart];
}
