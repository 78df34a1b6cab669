// Fills the sections when they come into view, and all of them for paper.

const KINDS = { groups, nulls, roles, norms, gains, blocks, matrix: matrices, layers, experts, series, family };
const parts = JSON.parse(document.getElementById("data").textContent);
const waiting = new Map();
const charts = new Map();

document.querySelectorAll(".part").forEach((part) => {
  const specs = parts[Number(part.dataset.part)];
  part.querySelectorAll(".section").forEach((root) => {
    const spec = specs[Number(root.dataset.index)];
    if (spec.kind === "blocks") spec.table = specs.find(({ file }) => file === "tensors.csv");
    waiting.set(root, () => fill(root, spec, part));
  });
});

function fill(root, spec, part) {
  if (spec.kind !== "table") {
    charts.set(root, KINDS[spec.kind](root, spec));
    return Promise.all(charts.get(root).map((chart) => chart.draw()));
  }
  note(root, spec.note);
  const target = spec.rows && part.querySelector(`[data-kind="${spec.rows}"]`);
  new DataTable(root, spec, target && ((row) => open(target).then(() => charts.get(target)[0].choose(row))));
  return Promise.resolve();
}

/** Fills a section if that has not been done. */
async function open(root) {
  const start = waiting.get(root);
  if (!start) return;
  waiting.delete(root);
  watcher.unobserve(root);
  await start();
  root.dataset.drawn = "yes";
}

const watcher = new IntersectionObserver(
  (entries) => {
    entries.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => open(target));
  },
  { rootMargin: "300px" },
);
waiting.forEach((_, root) => watcher.observe(root));

function redraw() {
  drawn.forEach((chart) => chart.draw());
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("beforeprint", () => {
  printing = true;
  document.querySelectorAll("details").forEach((one) => {
    one.open = true;
  });
  waiting.forEach((_, root) => open(root));
  redraw();
});
addEventListener("afterprint", () => {
  printing = false;
  redraw();
});
