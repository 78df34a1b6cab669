// Where the relabelled copies lie, and where the observed value.

function nulls(root, spec) {
  const state = { variant: 0, level: "group", at: 0 };
  const own = () => spec.variants[state.variant];
  const rows = () =>
    own()
      .levels.map((level, at) => (level === state.level ? at : -1))
      .filter((at) => at >= 0);
  const statistic = choice("Statistic", [], (value) => {
    state.at = Number(value);
    charts[1].draw();
  });
  const refill = () => {
    statistic
      .querySelector("select")
      .replaceChildren(...rows().map((at) => element("option", { value: at }, own().names[at])));
    state.at = rows()[0] ?? 0;
  };
  const redraw = () => {
    refill();
    charts.forEach((chart) => chart.draw());
  };
  const held = new Set(spec.variants.flatMap(({ levels }) => levels));
  const levels = [
    ["group", "group of roles"],
    ["role", "role"],
    ["layer", "group and layer"],
    ["component", "component"],
  ];
  controls(
    root,
    variants(spec, "Pair", state, redraw),
    choice(
      "By",
      levels.filter(([level]) => held.has(level)),
      (value) => {
        state.level = value;
        redraw();
      },
    ),
  );
  if (!held.has("group")) state.level = levels.find(([level]) => held.has(level))[0];
  note(
    root,
    "Grey: where relabelled copies of B lie, their 5 % to 95 % as a thick line, all of them as a thin one. Diamond: the observed " +
      `value. Both in standard deviations of the copies; the axis is logarithmic beyond ±1. ${spec.note}`,
  );
  const overview = new Chart(root, spec.title, () => {
    const at = rows();
    const get = (name) => at.map((row) => column(own()[name])[row]);
    const names = at.map((row) => plain(own().names[row]));
    const z = get("z");
    const { zero } = colours();
    const line = (from, to, width, name) => ({
      type: "scatter",
      mode: "lines",
      name,
      line: { color: zero, width },
      hoverinfo: "skip",
      x: from.flatMap((value, row) => [Math.asinh(value), Math.asinh(to[row]), null]),
      y: names.flatMap((one) => [one, one, null]),
    });
    return {
      says: at
        .map((row, place) => `${own().names[row]}: z ${significant(z[place])}`)
        .slice(0, 20)
        .join("; "),
      traces: [
        line(get("low"), get("high"), 2, "all copies"),
        line(get("q05"), get("q95"), 9, "5 % to 95 %"),
        {
          type: "scatter",
          mode: "markers",
          name: "observed",
          x: z.map(Math.asinh),
          y: names,
          customdata: get("p").map((p, row) => [z[row], p]),
          marker: { symbol: "diamond", size: 11, color: INK.red },
          hovertemplate: "%{y}: z = %{customdata[0]:.2f}, p of the rank = %{customdata[1]:.3g}<extra></extra>",
        },
      ],
      layout: {
        height: Math.min(1400, 130 + 26 * at.length),
        margin: { l: 10, r: 10, t: 40, b: 45 },
        xaxis: deviations([...z, ...get("low"), ...get("high")], "standard deviations of the copies"),
        yaxis: { autorange: "reversed", type: "category" },
      },
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
    const ticks = Array.from(
      { length: Math.floor(far ? high : Math.max(high, z)) - Math.ceil(Math.min(low, z)) + 1 },
      (_, at) => Math.ceil(Math.min(low, z)) + at,
    );
    const said = `observed: z = ${significant(z)}${far ? " (far to the right) →" : ""}`;
    const { text, zero } = colours();
    return {
      says: `${own().names[state.at]}: ${draws} copies between ${significant(low)} and ${significant(high)}, observed ${significant(z)}, p of the rank ${significant(p)}`,
      traces: [
        {
          type: "bar",
          x: Array.from(bins, (_, at) => low + (at + 0.5) * width),
          y: Array.from(bins),
          width,
          name: `${draws} relabelled copies`,
          marker: { color: zero },
        },
        {
          type: "scatter",
          mode: "lines+text",
          x: [shown, shown],
          y: [0, top],
          text: ["", said],
          textposition: shown > (low + high) / 2 ? "top left" : "top right",
          line: { color: INK.red, width: 3, dash: far ? "dot" : "solid" },
          name: "observed",
          hoverinfo: "skip",
          textfont: { color: text },
        },
      ],
      layout: {
        height: 280,
        title: { text: name, font: { size: 13 } },
        showlegend: false,
        bargap: 0,
        yaxis: { title: { text: "copies" }, range: [0, top * 1.2] },
        xaxis: { title: { text: "standard deviations of the copies" }, tickvals: ticks },
      },
    };
  });
  const charts = [overview, single];
  return charts;
}
