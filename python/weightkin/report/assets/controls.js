// What a section holds besides its chart: choices and a line of explanation.

/** A labelled <select> of [value, text] pairs. `changed` takes the value. */
function choice(label, options, changed, first = options[0]?.[0]) {
  const select = element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
  if (first !== undefined) select.value = first;
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, `${label} `, select);
}

function variants(spec, label, state, redraw) {
  if (spec.variants.length < 2) return null;
  return choice(
    label,
    spec.variants.map((one, at) => [at, one.label]),
    (value) => {
      state.variant = Number(value);
      redraw();
    },
    state.variant,
  );
}

function controls(root, ...parts) {
  const held = parts.filter(Boolean);
  if (held.length) root.append(element("div", { className: "controls" }, ...held));
}

function note(root, text) {
  if (text) root.append(element("p", { className: "note" }, text));
}
