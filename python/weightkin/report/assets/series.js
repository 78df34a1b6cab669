// The course of one training: curves of every group over its checkpoints.

const SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "star", "x", "hexagon"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
/** What a curve shows: title of the axis, key, and whether it is drawn as asinh, as log, or by its first value. */
const CURVES = {
  pearson_previous: ["Pearson to the checkpoint before", "straight"],
  pearson_last: ["Pearson to the last checkpoint", "straight"],
  relative_l2_previous: ["length of the step, by the norm before", "log"],
  norm: ["norm, by that of the first checkpoint", "first"],
  z_previous: ["z against the checkpoint before", "deviations"],
  z_last: ["z against the last checkpoint", "deviations"],
  turn: ["cosine of the step to it and the step from it", "straight"],
};

function series(root, spec) {
  const state = { upper: "pearson_previous", lower: "norm", axis: spec.steps ? "steps" : "checkpoints" };
  const redraw = () => charts.forEach((chart) => chart.draw());
  const options = Object.entries(CURVES).map(([key, [title]]) => [key, title]);
  const pick = (label, name) =>
    choice(
      label,
      options,
      (value) => {
        state[name] = value;
        redraw();
      },
      state[name],
    );
  const axes = [
    ["steps", "training steps"],
    ["checkpoints", "checkpoints"],
  ];
  controls(
    root,
    pick("Above", "upper"),
    pick("Below", "lower"),
    spec.steps &&
      choice("Along", axes, (value) => {
        state.axis = value;
        redraw();
      }),
  );
  note(
    root,
    spec.marks.length
      ? `Red lines: ${spec.marks.map(({ checkpoint, text }) => `checkpoint ${checkpoint}: ${text}`).join("; ")}.`
      : "No step stands out, so there is no mark.",
  );
  const picture = (name) => () => {
    const key = state[name];
    const [title, scale] = CURVES[key];
    const x = state.axis === "steps" ? Array.from(column(spec.steps)) : spec.numbers;
    const own = spec.groups.map((group) => {
      const values = Array.from(column(group[key]));
      return scale === "first" ? values.map((value) => value / values[0]) : values;
    });
    const bent = scale === "deviations";
    const { text } = colours();
    const places = spec.marks.map(({ checkpoint }) => x[spec.numbers.indexOf(checkpoint)]);
    const said = spec.groups.map(({ label }, at) => {
      const held = own[at].filter(Number.isFinite);
      return held.length ? `${label}: ${significant(Math.min(...held))} to ${significant(Math.max(...held))}` : label;
    });
    return {
      says: `${title}. ${said.join("; ")}`,
      traces: spec.groups.map(({ label }, at) => ({
        type: "scatter",
        mode: "lines+markers",
        name: plain(label),
        x,
        y: own[at].map((value) => (Number.isFinite(value) ? (bent ? Math.asinh(value) : value) : null)),
        customdata: spec.names.map((one, row) => [plain(one), own[at][row], spec.numbers[row]]),
        line: { color: Object.values(INK)[at % 6], dash: DASHES[at % DASHES.length], width: 2 },
        marker: { symbol: SYMBOLS[at % SYMBOLS.length], size: 8 },
        hovertemplate: `%{fullData.name}: %{customdata[1]:.5~g}<br>checkpoint %{customdata[2]}: %{customdata[0]}<extra></extra>`,
      })),
      layout: {
        height: 360,
        margin: { l: 10, r: 10, t: 50, b: 45 },
        xaxis: {
          title: { text: state.axis === "steps" ? "training step (or tokens)" : "checkpoint" },
          zeroline: false,
          ...(state.axis === "steps" || x.length > 30 ? {} : { dtick: 1 }),
        },
        yaxis: {
          ...(bent ? deviations(own.flat(), title) : { title: { text: title }, zeroline: false }),
          ...(scale === "log" ? { type: "log", exponentformat: "power" } : {}),
        },
        shapes: places.map((place) => ({
          type: "line",
          x0: place,
          x1: place,
          yref: "paper",
          y0: 0,
          y1: 1,
          line: { color: INK.red, width: 2, dash: "dash" },
        })),
        annotations: places.map((place, at) => ({
          x: place,
          yref: "paper",
          y: 0.02,
          text: plain(`${spec.marks[at].checkpoint}: ${spec.marks[at].text}`),
          textangle: -90,
          showarrow: false,
          xanchor: "right",
          yanchor: "bottom",
          font: { color: text },
        })),
      },
    };
  };
  const charts = [
    new Chart(root, `${spec.title}, above`, picture("upper")),
    new Chart(root, `${spec.title}, below`, picture("lower")),
  ];
  return charts;
}
