// Tables that sort, filter and download. Only one page of rows is in the document.

const PAGE = 50;
const COMPARE = {
  "<": (x, y) => x < y,
  ">": (x, y) => x > y,
  "<=": (x, y) => x <= y,
  ">=": (x, y) => x >= y,
  "=": (x, y) => x === y,
};

class DataTable {
  /** `onRow`: what a row's button does, with the number of the row; absent: no button. */
  constructor(root, spec, onRow) {
    this.spec = spec;
    this.onRow = onRow;
    this.columns = spec.columns.map((one) => ({ ...one, values: column(one.data) }));
    this.size = this.columns[0].values.length;
    this.rows = Array.from({ length: this.size }, (_, row) => row);
    this.first = 0;
    this.sorted = { at: -1, down: false };
    this.build(root);
    this.show();
  }

  build(root) {
    const name = this.spec.title;
    this.filterBox = element("input", {
      type: "search",
      placeholder: "words, or a bound such as pearson<0.5",
      "aria-label": `Filter ${name}`,
    });
    let waiting = 0;
    this.filterBox.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.filter(this.filterBox.value), 120);
    });
    this.count = element("span", { role: "status" });
    this.back = element("button", { type: "button" }, "Previous");
    this.next = element("button", { type: "button" }, "Next");
    this.back.addEventListener("click", () => this.turn(-PAGE));
    this.next.addEventListener("click", () => this.turn(PAGE));
    const download = element("button", { type: "button", className: "download" }, "CSV");
    download.title = "Download the rows that are filtered, in this order";
    download.addEventListener("click", () => this.download());
    this.head = element("tr", {}, ...(this.onRow ? [element("th", { scope: "col" }, "blocks")] : []));
    this.columns.forEach((one, at) => {
      const button = element("button", { type: "button", title: "Sort" }, one.title);
      button.addEventListener("click", () => this.sort(at));
      this.head.append(element("th", { scope: "col", className: one.kind === "text" ? "" : "n" }, button));
    });
    this.body = element("tbody");
    const table = element("table", { className: "data" }, element("thead", {}, this.head), this.body);
    root.append(
      element(
        "div",
        { className: "controls" },
        element("label", {}, "Filter ", this.filterBox),
        this.count,
        this.back,
        this.next,
        download,
      ),
      element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": name }, table),
    );
  }

  filter(text) {
    const tests = text
      .trim()
      .toLowerCase()
      .split(/\s+/)
      .filter(Boolean)
      .map((word) => this.test(word));
    this.rows = [];
    for (let row = 0; row < this.size; row++) if (tests.every((test) => test(row))) this.rows.push(row);
    this.order();
  }

  /** `name<1`, of a column of numbers, is a bound; anything else must be in the text of the row. */
  test(word) {
    const bound = /^(.+?)(<=|>=|<|>|=)([-+.\de]+)$/.exec(word);
    const one =
      bound &&
      this.columns.find(
        ({ key, title, kind }) => kind !== "text" && (key === bound[1] || title.toLowerCase() === bound[1]),
      );
    if (one && !Number.isNaN(Number(bound[3]))) {
      const value = Number(bound[3]);
      return (row) => COMPARE[bound[2]](one.values[row], value);
    }
    this.lower ??= Array.from({ length: this.size }, (_, row) =>
      this.columns
        .filter(({ kind }) => kind === "text")
        .map(({ values }) => values[row] ?? "")
        .join("\n")
        .toLowerCase(),
    );
    return (row) => this.lower[row].includes(word);
  }

  sort(at) {
    const down = this.sorted.at === at ? !this.sorted.down : this.columns[at].kind !== "text";
    this.sorted = { at, down };
    this.order();
  }

  order() {
    const { at, down } = this.sorted;
    if (at >= 0) {
      const { values, kind } = this.columns[at];
      const sign = down ? -1 : 1;
      const compare =
        kind === "text"
          ? (x, y) =>
              sign * ((values[x] ?? "") < (values[y] ?? "") ? -1 : (values[x] ?? "") > (values[y] ?? "") ? 1 : 0)
          : (x, y) => missingLast(values[x], values[y], sign);
      this.rows.sort((x, y) => compare(x, y) || x - y);
    }
    this.first = 0;
    this.show();
  }

  turn(by) {
    this.first = Math.max(0, this.first + by);
    this.show();
  }

  show() {
    const shown = this.rows.slice(this.first, this.first + PAGE);
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    const all = this.rows.length === this.size ? "" : ` of ${this.size.toLocaleString("en")}`;
    const range = shown.length ? `${this.first + 1}–${this.first + shown.length} of ` : "";
    this.count.textContent = `${range}${this.rows.length.toLocaleString("en")} rows${all && ` (${all.trim()})`}`;
    this.back.disabled = this.first === 0;
    this.next.disabled = this.first + PAGE >= this.rows.length;
    const offset = this.onRow ? 1 : 0;
    this.columns.forEach((one, at) => {
      const cell = this.head.children[at + offset];
      const sorted = this.sorted.at === at;
      cell.setAttribute("aria-sort", sorted ? (this.sorted.down ? "descending" : "ascending") : "none");
      cell.firstChild.textContent = one.title + (sorted ? (this.sorted.down ? " ▼" : " ▲") : "");
    });
  }

  line(row) {
    const cells = this.columns.map(({ kind, values }) =>
      element("td", { className: kind === "text" ? "" : "n" }, SHOW[kind](values[row])),
    );
    if (this.onRow) {
      const button = element("button", { type: "button", title: "Show its blocks" }, "map");
      button.addEventListener("click", () => this.onRow(row));
      cells.unshift(element("td", {}, button));
    }
    return element("tr", {}, ...cells);
  }

  /** A text cell that a spreadsheet would take for a formula gets an apostrophe. */
  csv() {
    const text = (value) => `"${(/^[=+\-@\t\r]/.test(value) ? "'" : "") + value.replaceAll('"', '""')}"`;
    const cell = ({ kind, values }, row) =>
      kind === "text" ? text(values[row] ?? "") : Number.isNaN(values[row]) ? "" : String(values[row]);
    const lines = this.rows.map((row) => this.columns.map((one) => cell(one, row)).join(","));
    return [this.columns.map(({ key }) => text(key)).join(","), ...lines].join("\r\n") + "\r\n";
  }

  download() {
    const url = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    element("a", { href: url, download: this.spec.file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
}

function missingLast(x, y, sign) {
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
  return sign * (x - y);
}
