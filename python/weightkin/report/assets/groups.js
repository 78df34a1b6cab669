// Effect and evidence of groups of roles and of roles.

function groups(root, spec) {
  const state = { variant: 0, level: "group" };
  const chart = () => drawnChart.draw();
  controls(
    root,
    variants(spec, "Pair", state, chart),
    choice(
      "By",
      [
        ["group", "group of roles"],
        ["role", "role"],
      ],
      (value) => {
        state.level = value;
        chart();
      },
    ),
  );
  note(
    root,
    "Left, the effect: the Pearson correlation with its 95 % interval, beside the cosine and the cosine that uncorrelated " +
      "weights of the same moments would have. Right, the evidence: z against relabelled copies, on an axis that is logarithmic beyond ±1.",
  );
  const drawnChart = new Chart(root, spec.title, () => {
    const level = spec.variants[state.variant].levels[state.level];
    const get = (name) => Array.from(column(level[name]));
    const y = level.names.map(plain);
    const [pearson, z] = [get("pearson"), get("z")];
    const dots = (name, x, symbol, color, more = {}) => ({
      type: "scatter",
      mode: "markers",
      name,
      x,
      y,
      marker: { symbol, color, size: 10 },
      ...more,
    });
    const interval = {
      type: "data",
      symmetric: false,
      array: get("pearson_high").map((high, at) => high - pearson[at]),
      arrayminus: get("pearson_low").map((low, at) => pearson[at] - low),
      color: INK.blue,
    };
    const says = level.names
      .map((name, at) => `${name}: Pearson ${significant(pearson[at])}, z ${significant(z[at])}`)
      .join("; ");
    const { text } = colours();
    return {
      says,
      traces: [
        dots("cosine if uncorrelated", get("cosine_if_uncorrelated"), "line-ns-open", INK.orange, {
          marker: { symbol: "line-ns-open", color: INK.orange, size: 15, line: { width: 3 } },
        }),
        dots("cosine", get("cosine"), "circle-open", INK.red, {
          marker: { symbol: "circle-open", color: INK.red, size: 13, line: { width: 2 } },
        }),
        dots("Pearson", pearson, "diamond", INK.blue, { error_x: interval }),
        {
          type: "bar",
          orientation: "h",
          name: "z",
          y,
          x: z.map(Math.asinh),
          customdata: z,
          marker: { color: INK.green },
          text: z.map((value) => (Number.isNaN(value) ? "" : value.toFixed(1))),
          textposition: "outside",
          cliponaxis: false,
          textfont: { color: text },
          hovertemplate: "%{y}: z = %{customdata:.2f}<extra></extra>",
          xaxis: "x2",
          showlegend: false,
          width: 0.5,
        },
      ],
      layout: {
        height: 130 + 34 * y.length,
        margin: { l: 10, r: 10, t: 50, b: 45 },
        xaxis: {
          domain: [0, 0.55],
          range: [Math.min(-0.15, ...pearson.filter(Number.isFinite)) - 0.05, 1.06],
          title: { text: "effect" },
        },
        xaxis2: { ...deviations(z, "z"), domain: [0.62, 1] },
        yaxis: { autorange: "reversed", type: "category" },
      },
    };
  });
  return [drawnChart];
}
