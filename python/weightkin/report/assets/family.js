// The family tree: a row per model, joined to the one it hangs under.

/** By what tells who is younger: dash, colour (null: that of text), and what the legend says. */
const LINES = {
  edit: ["solid", null, "younger by an edit"],
  guess: ["dash", null, "younger by a guess"],
  undirected: ["dot", null, "no direction"],
  secondary: ["solid", "grey", "second parent"],
};

function family(root, spec) {
  note(root, spec.note);
  const chart = new Chart(root, spec.title, () => {
    const { text, zero } = colours();
    const lines = Object.entries(LINES).flatMap(([kind, [dash, colour, name]]) => {
      const own = spec.lines.filter((line) => line.kind === kind);
      if (!own.length) return [];
      return {
        type: "scatter",
        mode: "lines",
        name,
        // Down and across; to a second parent straight, past the rows between.
        x: own.flatMap(({ x }) => (colour ? [x[0], x[1], null] : [x[0], x[0], x[1], null])),
        y: own.flatMap(({ y }) => (colour ? [y[0], y[1], null] : [y[0], y[1], y[1], null])),
        line: { dash, color: colour ? zero : text, width: colour ? 1 : 1.6 },
        hoverinfo: "skip",
      };
    });
    const wide = innerWidth >= 640;
    const deepest = Math.max(...spec.nodes.map(({ x }) => x));
    const names = spec.nodes.map(({ name }) => plain(name));
    return {
      says: spec.nodes
        .filter(({ text: facts }) => facts.length)
        .map(({ name, text: facts }) => `${name}: ${facts.join(", ")}`)
        .join("; "),
      traces: [
        ...lines,
        {
          type: "scatter",
          mode: "markers+text",
          showlegend: false,
          x: spec.nodes.map(({ x }) => x),
          y: spec.nodes.map(({ y }) => y),
          text: spec.nodes.map(({ name, text: facts }) => {
            const short = plain(name.length > 40 ? `${name.slice(0, 39)}…` : name);
            return ` ${short}${wide && facts.length ? ` <i>(${plain(facts[0])})</i>` : ""}`;
          }),
          textposition: "middle right",
          cliponaxis: false,
          marker: {
            size: 10,
            symbol: spec.nodes.map(({ observed }) => (observed ? "circle" : "circle-open")),
            color: INK.blue,
          },
          customdata: spec.nodes.map(({ text: facts }, at) => [names[at], ...facts.map(plain)].join("<br>")),
          hovertemplate: "%{customdata}<extra></extra>",
        },
      ],
      layout: {
        height: 110 + 30 * spec.nodes.length,
        margin: { l: 16, r: 10, t: 40, b: 10 },
        xaxis: { visible: false, range: [-0.2, deepest + 2.2], fixedrange: true },
        yaxis: { visible: false, autorange: "reversed", fixedrange: true },
        hovermode: "closest",
      },
    };
  });
  return [chart];
}
