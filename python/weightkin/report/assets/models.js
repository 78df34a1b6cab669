// Pictures of whole models: all pairs, layers against layers, experts.

function matrices(root, spec) {
  const state = { variant: spec.first, measure: "pearson" };
  const redraw = () => chart.draw();
  const measures = Object.keys(spec.variants[0].measures).map((name) => [name, MEASURES[name][0]]);
  controls(
    root,
    variants(spec, "Group", state, redraw),
    choice("Measure", measures, (value) => {
      state.measure = value;
      redraw();
    }),
  );
  const size = spec.names.length;
  const words = new Map(
    spec.verdicts.flatMap(({ a, b, word }) => [
      [a * size + b, word],
      [b * size + a, word],
    ]),
  );
  const chart = new Chart(root, spec.title, () => {
    const own = spec.variants[state.variant];
    const z = matrix(column(own.measures[state.measure]), size, size);
    const names = spec.names.map((name, at) => `${at + 1} ${plain(name)}`);
    const text = z.map((row, a) =>
      row.map((value, b) => (a === b || value === null ? "" : rounded(value, size > 8 ? 2 : 4))),
    );
    const said = z.map((row, a) => row.map((_, b) => (words.get(a * size + b) ?? "itself").replaceAll("_", " ")));
    const ticks = names.map((name) => (name.length > 18 ? `${name.slice(0, 17)}…` : name));
    return {
      says: `${own.label}: ${MEASURES[state.measure][0]} of ${size} models`,
      traces: [
        heat(
          state.measure,
          z.map((row, a) => row.map((value, b) => (a === b ? null : value))),
          names,
          names,
          {
            text,
            texttemplate: "%{text}",
            customdata: said,
            hovertemplate: "%{y}<br>%{x}<br>%{text}: %{customdata}<extra></extra>",
          },
        ),
      ],
      layout: {
        height: 150 + 46 * size,
        margin: HEAT_MARGIN,
        xaxis: { type: "category", showgrid: false, tickangle: size > 4 ? -40 : 0, tickvals: names, ticktext: ticks },
        yaxis: { autorange: "reversed", type: "category", showgrid: false, tickvals: names, ticktext: ticks },
      },
    };
  });
  return [chart];
}

function layers(root, spec) {
  const state = { variant: 0, measure: "score" };
  const own = () => spec.variants[state.variant];
  const redraw = () => chart.draw();
  const all = ["score", "z", "pearson", "cosine", "cosine_if_uncorrelated", "aligned_cosine"];
  const measures = all.filter((name) => spec.variants.some((one) => one.measures[name]));
  controls(
    root,
    variants(spec, "Roles", state, redraw),
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
    "Every layer of B against every layer of A. Rings: the map that was found, over a single role that of all matrices; a column " +
      "without a ring matches nothing.",
  );
  const chart = new Chart(root, spec.title, () => {
    const { a, b, measures: held, map } = own();
    const measure = held[state.measure] ? state.measure : measures.find((name) => held[name]);
    const z = matrix(column(held[measure]), a.length, b.length);
    const matched = b.map((layer, at) => [layer, map[at]]).filter(([, layer]) => layer !== null && layer >= 0);
    const cell = Math.max(10, Math.min(28, 640 / a.length));
    return {
      says: `Layers of B and the layers of A that they match: ${matched.map(([x, y]) => `${x} is ${y}`).join(", ") || "none"}`,
      traces: [
        heat(measure, z, b, a, {
          hovertemplate: `B %{x}, A %{y}: ${MEASURES[measure][0]} %{customdata:.5~g}<extra></extra>`,
        }),
        {
          type: "scatter",
          mode: "markers",
          name: "found map",
          x: matched.map(([x]) => x),
          y: matched.map(([, y]) => y),
          hoverinfo: "skip",
          showlegend: false,
          marker: {
            symbol: "circle-open",
            size: Math.min(16, cell * 0.75),
            color: INK.red,
            line: { width: 2.5 },
          },
        },
      ],
      layout: {
        height: 130 + cell * a.length,
        margin: HEAT_MARGIN,
        xaxis: { ...whole(`layer of ${plain(spec.name_b)} (B)`, b.length), range: [b[0] - 0.5, b.at(-1) + 0.5] },
        yaxis: { ...whole(`layer of ${plain(spec.name_a)} (A)`, a.length), range: [a.at(-1) + 0.5, a[0] - 0.5] },
      },
    };
  });
  return [chart];
}

function experts(root, spec) {
  let at = 0;
  const slider = element("input", {
    type: "range",
    min: 0,
    max: spec.steps.length - 1,
    value: 0,
    "aria-label": "Layer of B",
  });
  const said = element("output");
  slider.addEventListener("input", () => {
    at = Number(slider.value);
    chart.draw();
  });
  if (spec.steps.length > 1) controls(root, element("label", {}, "Layer ", slider), said);
  else controls(root, said);
  note(
    root,
    "Above: the expert of A that each expert of B is; on the line it kept its number." +
      (spec.steps.some(({ scores }) => scores.best)
        ? " Below: its best score, the second best, and the mean of all others."
        : ""),
  );
  const chart = new Chart(root, spec.title, () => {
    const step = spec.steps[at];
    const x = step.assignment.map((_, expert) => expert);
    const matched = x.filter((expert) => step.assignment[expert] >= 0);
    const y = matched.map((expert) => step.assignment[expert]);
    const kept = matched.map((expert) => step.assignment[expert] === expert);
    const place = step.component === "text" ? "" : `${step.component} `;
    said.textContent =
      `${place}layer ${step.layer_b} of B, ${step.layer_a} of A: ${matched.length} of ${x.length} experts match, ` +
      `${kept.filter(Boolean).length} under their number; z = ${significant(step.z)}`;
    slider.setAttribute("aria-valuetext", said.textContent);
    const { zero } = colours();
    const lines = [
      ["best", "best", INK.blue, "circle"],
      ["second", "second", INK.orange, "line-ew-open"],
      ["background", "mean of the others", zero, "x-thin-open"],
    ];
    const scores = lines
      .filter(([key]) => step.scores[key])
      .map(([key, name, color, symbol]) => ({
        type: "scatter",
        mode: "markers",
        name,
        x,
        y: Array.from(column(step.scores[key]), known),
        yaxis: "y2",
        marker: { symbol, color, size: 8, line: { width: 2, color } },
      }));
    const top = Math.max(1, ...step.assignment, x.length - 1);
    return {
      says: said.textContent,
      traces: [
        {
          type: "scatter",
          mode: "lines",
          x: [0, top],
          y: [0, top],
          line: { color: zero, dash: "dot", width: 1 },
          hoverinfo: "skip",
          showlegend: false,
        },
        {
          type: "scatter",
          mode: "markers",
          name: "match",
          x: matched,
          y,
          marker: {
            size: 9,
            color: kept.map((own) => (own ? INK.blue : INK.red)),
            symbol: kept.map((own) => (own ? "circle" : "diamond")),
          },
          hovertemplate: "expert %{x} of B is %{y} of A<extra></extra>",
          showlegend: false,
        },
        ...scores,
      ],
      layout: {
        height: scores.length ? 560 : 380,
        margin: { l: 10, r: 10, t: 40, b: 40 },
        xaxis: { ...whole(`expert of ${plain(spec.name_b)} (B)`, x.length), anchor: scores.length ? "y2" : "y" },
        yaxis: { domain: [scores.length ? 0.4 : 0, 1], title: { text: "expert of A" } },
        yaxis2: { domain: [0, 0.31], title: { text: "score" } },
      },
    };
  });
  return [chart];
}
