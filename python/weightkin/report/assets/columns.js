// Columns as columns.py writes them, and numbers as people read them.

const ARRAYS = { f4: Float32Array, f8: Float64Array, u2: Uint16Array, i4: Int32Array };

/** Values of a packed column: a typed array, or an array of texts. Numbers that are missing are NaN. */
function unpack(packed) {
  if (packed.values) {
    return packed.codes ? Array.from(unpack(packed.codes), (code) => packed.values[code]) : packed.values;
  }
  const raw = atob(packed.data);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  return new ARRAYS[packed.type](bytes.buffer);
}

const cache = new WeakMap();

/** `unpack`, once. */
function column(packed) {
  if (!cache.has(packed)) cache.set(packed, unpack(packed));
  return cache.get(packed);
}

/** Rows of a flat matrix, null for NaN. */
function matrix(values, rows, columns) {
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, at) => known(values[row * columns + at])),
  );
}

function known(value) {
  return Number.isFinite(value) ? value : null;
}

/** Without the sign of a zero. */
function rounded(value, digits) {
  return (Number(value.toFixed(digits)) + 0).toFixed(digits);
}

function significant(value) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return value.toExponential(2);
  if (size < 0.9999995 && size > 0.9999) return value.toFixed(6);
  return size >= 100 ? value.toFixed(1) : rounded(value, size >= 10 ? 2 : 4);
}

const SHOW = {
  text: (value) => value ?? "–",
  number: significant,
  integer: (value) => (Number.isNaN(value) ? "–" : value.toLocaleString("en")),
  share: (value) =>
    Number.isNaN(value) ? "–" : value === 0 || value === 1 ? `${100 * value}%` : `${(100 * value).toFixed(2)}%`,
  probability: (value) =>
    Number.isNaN(value) ? "–" : value === 0 ? "<1e-99" : value < 1e-3 ? value.toExponential(0) : value.toPrecision(2),
};

/** An element with properties and children; text never becomes markup. */
function element(name, properties = {}, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in found && key !== "list") found[key] = value;
    else found.setAttribute(key, value);
  }
  found.append(...children);
  return found;
}
