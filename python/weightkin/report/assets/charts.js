// Drawing: on demand, in the colours of the page, again when those change.

const INK = { blue: "#0072B2", sky: "#56B4E9", green: "#009E73", orange: "#E69F00", red: "#D55E00", pink: "#CC79A7" };
const DIVERGING = "diverging";
/** Orange to blue, over what is nearly the ground. */
const diverging = (middle) => [
  [0, "#b35806"],
  [0.25, "#f1a340"],
  [0.5, middle],
  [0.75, "#67a9cf"],
  [1, "#01529c"],
];
/** Of each measure: what it is called, and how it is coloured: [scale, from, to], null where the data say. */
const MEASURES = {
  cosine: ["cosine", DIVERGING, -1, 1],
  cosine_if_uncorrelated: ["cosine if uncorrelated", DIVERGING, -1, 1],
  pearson: ["Pearson", DIVERGING, -1, 1],
  aligned_cosine: ["aligned cosine", DIVERGING, -1, 1],
  z: ["z", "Cividis", null, null],
  pooled: ["z, pooled by group", "Cividis", null, null],
  score: ["score", "Cividis", null, null],
  relative_l2_a: ["|A-B| / |A|", "Cividis", 0, null],
  changed_fraction: ["share changed", "Cividis", 0, 1],
  identical_fraction: ["share identical", "Cividis", 0, 1],
  channels: ["channels", "Cividis", 0, null],
  compared: ["share compared", "Cividis", 0, 1],
};

const SPREAD = ["z", "pooled", "score"];
const TICKS = [-1000, -300, -100, -30, -10, -3, 0, 3, 10, 30, 100, 300, 1000, 3000, 10000];

let printing = false;
const drawn = new Set();

function colours() {
  const dark = !printing && matchMedia("(prefers-color-scheme: dark)").matches;
  return dark
    ? { text: "#e8eaee", line: "#3a404c", zero: "#7b818c", middle: "#2b303a" }
    : { text: "#1b1f27", line: "#e1e4ea", zero: "#8a8f98", middle: "#f2f3f5" };
}

class Chart {
  /** `picture()` returns {traces, layout, says}: what to draw, and the same in a sentence. */
  constructor(root, label, picture) {
    this.picture = picture;
    this.label = label;
    this.box = element("div", { className: "chart", role: "img", tabIndex: 0, "aria-label": label });
    root.append(this.box);
    drawn.add(this);
  }

  draw() {
    const { traces, layout, says } = this.picture();
    const { text, line, zero } = colours();
    const axis = { gridcolor: line, zerolinecolor: zero, linecolor: line, automargin: true };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: text, size: 12, family: "system-ui, sans-serif" },
      margin: { l: 10, r: 10, t: 30, b: 40 },
      hoverlabel: { align: "left" },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: zero, activecolor: text },
    };
    const merged = { ...base, ...layout };
    for (const name of Object.keys(merged)) if (/^[xy]axis/.test(name)) merged[name] = { ...axis, ...merged[name] };
    this.box.style.height = `${layout.height}px`;
    this.box.setAttribute("aria-label", says ? `${this.label}. ${says}` : this.label);
    // Named one by one: the library's own choice has a button that sends the data to its maker.
    const options = {
      responsive: true,
      displaylogo: false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    return Plotly.react(this.box, traces, merged, options);
  }
}

/** What the mouse shows of a name: as it is, never as markup. */
function plain(name) {
  return String(name).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A heat map of one measure over numbers or names. z and scores are coloured by their asinh, since they reach from 1 to 1000. */
function heat(measure, z, x, y, more = {}) {
  const [title, colorscale, low, high] = MEASURES[measure];
  const { zero, text, middle } = colours();
  const wide = SPREAD.includes(measure);
  const bar = {
    title: { text: title, side: "right" },
    thickness: 12,
    outlinewidth: 0,
    tickcolor: zero,
    tickfont: { color: text },
  };
  const shown = wide ? z.map((row) => row.map((value) => (value === null ? null : Math.asinh(value)))) : z;
  // Of z and scores the scale takes in what chance gives, so that noise does not look like a pattern.
  // A score says whether a layer stands out: what is below the middle of the null is one colour.
  const lowest = measure === "score" ? 0 : Math.min(-3, smallest(z));
  const range =
    low === null
      ? { zmin: Math.asinh(lowest), zmax: Math.asinh(Math.max(10, largest(z))) }
      : { zmin: low, zmax: high ?? largest(z) };
  return {
    type: "heatmap",
    z: shown,
    x,
    y,
    colorscale: colorscale === DIVERGING ? diverging(middle) : colorscale,
    ...range,
    customdata: z,
    xgap: x.length < 80 ? 1 : 0,
    ygap: y.length < 80 ? 1 : 0,
    hoverongaps: false,
    colorbar: wide ? { ...bar, tickvals: TICKS.map(Math.asinh), ticktext: TICKS.map(String) } : bar,
    ...more,
  };
}

/** An axis of layers or experts: no halves. */
function whole(title, count) {
  return {
    title: { text: title },
    tickformat: "d",
    showgrid: false,
    zeroline: false,
    ...(count <= 16 ? { dtick: 1 } : {}),
  };
}

function smallest(z) {
  return z.flat().reduce((least, value) => (value !== null && value < least ? value : least), 0);
}

function largest(z) {
  return z.flat().reduce((most, value) => (value !== null && value > most ? value : most), 1e-12);
}

/** Deviations on an axis that is straight near 0 and logarithmic beyond: asinh, with ticks at round numbers. */
function deviations(values, title) {
  const narrow = innerWidth < 640;
  const ticks = narrow ? TICKS.filter((tick) => [0, 10, 1000].includes(Math.abs(tick))) : TICKS;
  const held = values.filter(Number.isFinite).map(Math.asinh);
  const [low, high] = [Math.min(-2, ...held) - 1, Math.max(2, ...held) + (narrow ? 3.2 : 1.2)];
  return {
    title: { text: title },
    range: [low, high],
    tickvals: ticks.map(Math.asinh),
    ticktext: ticks.map(String),
    zeroline: true,
  };
}

const HEAT_MARGIN = { l: 10, r: 10, t: 16, b: 40 };
