"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = id => document.getElementById(id);
  const number = count => count.toLocaleString("en");

  // --- rows: found by the words of the search and by the filters of their table ---------------------------

  const tables = all("table.rows[id]:not(.inside)").map(table => ({
    table,
    rows: [...table.tBodies[0].rows].map(row => ({ row, text: row.textContent.toLowerCase() })),
    filters: document.querySelector(`[data-for="${table.id}"]`),
    count: document.querySelector(`[data-count="${table.id}"]`),
  }));
  const search = one("search");

  // facet -> values of which a row must have one
  const wanted = filters => {
    const found = new Map();
    if (!filters) return found;
    for (const button of all('[aria-pressed="true"]', filters)) {
      const { facet, value } = button.dataset;
      found.set(facet, (found.get(facet) || new Set()).add(value));
    }
    for (const choice of all("select", filters)) if (choice.value) found.set(choice.dataset.facet, new Set([choice.value]));
    return found;
  };

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let hits = 0;
    for (const { rows, filters, count, table } of tables) {
      const facets = [...wanted(filters)];
      let shown = 0;
      for (const { row, text } of rows) {
        const fits = words.every(word => text.includes(word)) && facets.every(([name, values]) => values.has(row.dataset[name]));
        row.hidden = !fits;
        shown += fits;
      }
      hits += shown;
      table.dataset.shown = shown;
      if (count) count.textContent = shown === rows.length ? number(shown) : `${number(shown)} of ${number(rows.length)}`;
    }
    // while somebody searches, only what has hits is there
    for (const section of all("main > section")) section.hidden = words.length > 0 && !all("table[data-shown]", section).some(table => table.dataset.shown !== "0");
    one("found").textContent = words.length ? `${number(hits)} ${hits === 1 ? "row" : "rows"} with “${search.value.trim()}”; Esc shows all again` : "";
  };

  let waiting = 0;
  search.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { show(); scrollTo(0, 0); });
  });
  for (const { filters } of tables) {
    if (!filters) continue;
    filters.addEventListener("click", event => {
      const button = event.target.closest("[aria-pressed]");
      if (!button) return;
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      show();
    });
    filters.addEventListener("change", show);
  }
  document.addEventListener("keydown", event => {
    const writes = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && search.value) {
      search.value = "";
      show();
    }
  });

  // --- sorting: by what a cell says, or by its data-v ------------------------------------------------------

  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const value = (row, column) => {
    const cell = row.cells[column];
    const said = cell.dataset.v ?? cell.textContent.trim();
    return said !== "" && !isNaN(said) ? Number(said) : said;
  };
  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === "" || b === "") return a === "" ? 1 : -1;
    return typeof a === "number" && typeof b === "number" ? a - b : words.compare(String(a), String(b));
  };
  for (const { table } of tables) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const keyed = [...body.rows].map(row => [value(row, column), row]);
      keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : sign * compare(a, b)));
      body.append(...keyed.map(([, row]) => row));
    }));
  }
  show();

  // --- the treemap -----------------------------------------------------------------------------------------

  const canvas = one("canvas");
  if (!canvas) return;
  const tree = JSON.parse(one("tree").textContent);
  const bytes = size => {
    for (const [unit, many] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (size >= many) return `${(size / many).toFixed(size / many >= 99.5 && unit !== "GB" ? 0 : 1)} ${unit}`;
    }
    return `${size} bytes`;
  };
  const make = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  let path = [tree];
  const here = () => path[path.length - 1];

  // a tile at a rectangle in thousandths of a box, which has that many pixels
  const tile = (node, at, kind, width, height) => {
    const [left, top, wide, high] = at.map(part => part / 1000);
    const made = make(kind, undefined, node.c ? "tile" : "tile leaf");
    made.style.cssText = `left:${left * 100}%;top:${top * 100}%;width:${wide * 100}%;height:${high * 100}%`;
    made.title = `${node.n}: ${bytes(node.s)}`;
    return [made, wide * width, high * height];
  };
  const label = (made, node, wide, high) => {
    if (wide < 34 || high < 17) return;
    made.append(make("b", node.n));
    if (wide > 90) made.append(" ", make("small", bytes(node.s)));
  };

  const draw = focus => {
    const width = canvas.clientWidth || 1000;
    const tall = width < 560;
    const shape = tall ? "t" : "w";
    canvas.classList.toggle("tall", tall);
    const height = tall ? width * 860 / 600 : width * 520 / 1000;
    canvas.replaceChildren();
    (here().c || []).forEach((child, index) => {
      const [made, wide, high] = tile(child, child[shape], "div", width, height);
      if (child.c && child.c[0][`${shape}i`] && wide > 60 && high > 50) {
        const within = make("div", undefined, "within");
        within.setAttribute("aria-hidden", "true");
        for (const inner of child.c) {
          const [small, ...size] = tile(inner, inner[`${shape}i`], "span", wide - 6, high - 28);
          if (inner.s > child.s / 4) small.classList.add("big");
          label(small, inner, ...size);
          within.append(small);
        }
        made.append(within);
      }
      const front = make(child.c ? "button" : "span", undefined, "front");
      if (child.c) {
        front.type = "button";
        front.tabIndex = -1;
        front.dataset.index = index;
        front.setAttribute("aria-label", `${child.n} ${bytes(child.s)}`);
      }
      label(front, child, wide, high);
      made.append(front);
      canvas.append(made);
    });
    const buttons = all("button", canvas);
    if (buttons.length) buttons[0].tabIndex = 0;
    crumbs();
    figures();
    if (!focus) return;
    const wanted = buttons.find(button => button.dataset.index === String(focus.index));
    (wanted || buttons[0] || all("button", one("crumbs")).pop())?.focus();
  };

  const crumbs = () => {
    one("crumbs").replaceChildren(...path.flatMap((node, depth) => {
      const last = depth === path.length - 1;
      const step = make(last ? "strong" : "button", node.n);
      if (!last) {
        step.type = "button";
        step.addEventListener("click", () => { path = path.slice(0, depth + 1); draw({ index: 0 }); });
      }
      return depth ? [make("span", "/"), step] : [step];
    }), make("span", bytes(here().s)));
  };

  const figures = () => {
    const node = here();
    one("inside").tBodies[0].replaceChildren(...(node.c || [node]).map((child, index) => {
      const row = make("tr");
      const name = make("td");
      if (child.c && child !== node) {
        const button = make("button", child.n);
        button.type = "button";
        button.addEventListener("click", () => enter(index));
        name.append(button);
      } else name.textContent = child.n;
      const share = node.s ? 100 * child.s / node.s : 0;
      row.append(name, make("td", (child.s / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }), "number"), make("td", `${share.toFixed(1)} %`, "number"));
      return row;
    }));
  };

  const enter = index => {
    const child = here().c[index];
    if (!child.c) return;
    path.push(child);
    draw({ index: 0 });
  };
  const leave = () => {
    if (path.length === 1) return;
    const left = path.pop();
    draw({ index: here().c.indexOf(left) });
  };

  canvas.addEventListener("click", event => {
    const button = event.target.closest("button.front");
    if (button) enter(Number(button.dataset.index));
  });
  one("map").addEventListener("keydown", event => {
    if (event.key === "Backspace" || (event.key === "Escape" && path.length > 1)) {
      event.preventDefault();
      event.stopPropagation();
      leave();
      return;
    }
    const from = event.target.closest("button.front");
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!from || !way) return;
    event.preventDefault();
    const middle = button => {
      const box = button.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(from);
    let best = null;
    let least = Infinity;
    for (const button of all("button", canvas)) {
      const [dx, dy] = middle(button).map((part, axis) => part - [x, y][axis]);
      const along = dx * way[0] + dy * way[1];
      const far = along + 2 * Math.abs(dx * way[1] + dy * way[0]);
      if (button !== from && along > 1 && far < least) [best, least] = [button, far];
    }
    if (!best) return;
    from.tabIndex = -1;
    best.tabIndex = 0;
    best.focus();
  });

  let drawn = 0;
  new ResizeObserver(() => {
    if (Math.abs(canvas.clientWidth - drawn) < 2) return;
    drawn = canvas.clientWidth;
    draw();
  }).observe(canvas);
})();
