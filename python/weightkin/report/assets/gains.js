// Norm gains of A against those of B: channels of one layer, or of all layers in deviations from each layer's mean.

const CELLS = 41;
/** Deviations to either side that the map of all layers shows. */
const REACH = 4;

/** Vectors from the upper halves of float32. */
function gainVectors(packed) {
  const codes = column(packed.codes);
  const values = new Float32Array(Uint32Array.from(codes, (code) => code << 16).buffer);
  const [sizes, means, deviations] = ["sizes", "mean", "deviation"].map((name) => column(packed[name]));
  let first = 0;
  return Array.from(sizes, (size, at) => {
    first += size;
    return { values: values.subarray(first - size, first), mean: means[at], deviation: deviations[at] };
  });
}

function gains(root, spec) {
  const vectors = gainVectors(spec.vectors);
  const state = { variant: 0, norm: 0, layer: 0 };
  const own = () => spec.variants[state.variant].norms[state.norm] ?? spec.variants[state.variant].norms[0];
  const pair = (at) => ["of_a", "of_b"].map((name) => vectors[column(own().columns[name])[at]]);
  const norm = choice("Norm", [], (value) => {
    state.norm = Number(value);
    state.layer = 0;
    redraw();
  });
  const slider = element("input", { type: "range", min: 0, "aria-label": "Layer of B" });
  const said = element("output");
  slider.addEventListener("input", () => {
    state.layer = Number(slider.value);
    redraw();
  });
  const refill = () => {
    const names = spec.variants[state.variant].norms.map(({ name }, at) => element("option", { value: at }, name));
    norm.querySelector("select").replaceChildren(...names);
    [state.norm, state.layer] = [0, 0];
    redraw();
  };
  const redraw = () => {
    const count = column(own().columns.of_a).length;
    slider.max = count;
    slider.value = state.layer;
    slider.disabled = count < 2;
    chart.draw();
  };
  controls(root, variants(spec, "Pair", state, refill), norm, element("label", {}, "Layer ", slider));
  controls(root, said);
  note(
    root,
    "The slider's first place is all layers: each vector less its mean, in its own deviations, so that no trend along the " +
      "layers looks like a match. A round cloud is no correlation. Of one layer: the gains as they are stored, and where both are " +
      `equal (dotted). ${spec.note}`,
  );
  const name = (at) => {
    const [a, b] = ["layer", "layer_b"].map((key) => column(own().columns[key])[at]);
    if (Number.isNaN(b)) return "outside the layers";
    return a === b ? `layer ${b}` : `layer ${b} of B, ${a} of A`;
  };
  const similar = (get) =>
    `Pearson ${significant(get("pearson") ?? NaN)}, cosine ${significant(get("cosine") ?? NaN)} ` +
    `(${significant(get("cosine_if_uncorrelated") ?? NaN)} if uncorrelated)`;
  const chart = new Chart(root, spec.title, () => {
    const count = column(own().columns.of_a).length;
    const single = count < 2 || state.layer > 0;
    const at = Math.max(0, state.layer - 1);
    const moments = pair(at).map(({ mean, deviation }) => `${significant(mean)} ± ${significant(deviation)}`);
    said.textContent = single
      ? `${own().name}, ${name(at)}: ${similar((key) => column(own().columns[key])[at])}; mean ± deviation ${moments[0]} in A, ${moments[1]} in B`
      : `${own().name}, all ${count} layers: ${similar((key) => own().pooled[key])}`;
    slider.setAttribute("aria-valuetext", said.textContent);
    return { says: said.textContent, ...(single ? oneLayer(pair(at)) : allLayers(count, pair)) };
  });
  refill();
  return [chart];
}

function oneLayer([a, b]) {
  const ends = [a, b].flatMap(({ values }) => [Math.min(...values), Math.max(...values)]).filter(Number.isFinite);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const { zero } = colours();
  const error = (array) => ({ type: "data", array, color: INK.red, thickness: 2 });
  return {
    traces: [
      {
        type: "scatter",
        mode: "lines",
        name: "equal",
        x: [low, high],
        y: [low, high],
        line: { color: zero, dash: "dot", width: 1 },
        hoverinfo: "skip",
      },
      {
        type: "scatter",
        mode: "markers",
        name: "channels",
        x: Array.from(a.values, known),
        y: Array.from(b.values, known),
        marker: { color: INK.blue, size: 5, opacity: 0.45 },
        hovertemplate: "A %{x:.5~g}, B %{y:.5~g}<extra></extra>",
      },
      {
        type: "scatter",
        mode: "markers",
        name: "mean ± deviation",
        x: [known(a.mean)],
        y: [known(b.mean)],
        error_x: error([known(a.deviation)]),
        error_y: error([known(b.deviation)]),
        marker: { color: INK.red, size: 11, symbol: "diamond" },
        hovertemplate: "means: A %{x:.5~g}, B %{y:.5~g}<extra></extra>",
      },
    ],
    layout: gainLayout("gain in A", "gain in B"),
  };
}

function allLayers(count, pair) {
  const cells = new Float64Array(CELLS * CELLS);
  const cell = (value, { mean, deviation }) =>
    Math.floor(
      ((Math.min(REACH, Math.max(-REACH, (value - mean) / deviation)) + REACH) / (2 * REACH)) * (CELLS - 1e-6),
    );
  for (let at = 0; at < count; at++) {
    const [a, b] = pair(at);
    for (let channel = 0; channel < a.values.length; channel++) {
      const place = cell(b.values[channel], b) * CELLS + cell(a.values[channel], a);
      if (!Number.isNaN(place)) cells[place] += 1;
    }
  }
  const edges = Array.from({ length: CELLS }, (_, at) => ((at + 0.5) / CELLS) * 2 * REACH - REACH);
  const z = matrix(cells, CELLS, CELLS).map((row) => row.map((value) => value || null));
  return {
    traces: [
      heat("channels", z, edges, edges, {
        xgap: 0,
        ygap: 0,
        hovertemplate: "A %{x:.1f}, B %{y:.1f}: %{customdata} channels<extra></extra>",
      }),
    ],
    layout: gainLayout("A, deviations from each layer's mean", "B"),
  };
}

/** As high as wide, where there is room: a round cloud must look round. */
function gainLayout(x, y) {
  const wide = Math.min(560, innerWidth - 40);
  return {
    height: wide,
    width: wide,
    margin: { l: 10, r: 10, t: 40, b: 45 },
    xaxis: { title: { text: x }, zeroline: false },
    yaxis: { title: { text: y }, zeroline: false },
  };
}
