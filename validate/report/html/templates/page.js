"use strict";
(() => {
  const root = document.documentElement;
  const make = (tag, text, css) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (css) element.className = css;
    return element;
  };

  // Theme: follow the system until the reader says otherwise. A page opened as a file may have no storage.
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.lastElementChild.textContent = theme;
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem("edgeconv-theme") || theme;
  } catch {
    theme = "auto";
  }
  show(themes.includes(theme) ? theme : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    show(theme);
    try {
      localStorage.setItem("edgeconv-theme", theme);
    } catch {
      // The choice then lasts as long as the page is open.
    }
  });

  // Filter: dim the tokens below a level.
  const section = document.getElementById("documents");
  if (!section) return;
  const levels = [...section.querySelectorAll("[data-level]")];
  for (const level of levels) {
    level.disabled = false;
    level.addEventListener("click", () => {
      section.dataset.least = level.dataset.level;
      for (const other of levels) other.setAttribute("aria-pressed", String(other === level));
    });
  }

  // Alternatives of a token, on pointing at it and on focus.
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const places = new Map();
  let described = null;
  const place = (token) => {
    const box = token.parentElement;
    if (!places.has(box)) places.set(box, new Map([...box.children].map((child, index) => [child, index])));
    return places.get(box).get(token);
  };
  const share = (whole) => {
    const cell = make("td");
    const meter = cell.appendChild(make("span", undefined, "meter"));
    meter.appendChild(make("i")).style.width = `${Math.max(0, whole) / 100}%`;
    cell.append(whole < 0 ? "NaN" : `${(whole / 100).toFixed(2)} %`);
    return cell;
  };
  const fill = (token) => {
    const entry = data.documents[token.parentElement.dataset.document][place(token)];
    const [kl, ...flat] = Array.isArray(entry) ? entry : [entry];
    const actual = token.textContent.replaceAll("\n", "↵").replaceAll("\t", "␉");
    const head = make("p");
    head.append(kl === "" ? "The first token is given, not predicted." : "KL ");
    if (kl !== "") head.append(make("strong", kl), " nats");
    tip.replaceChildren(head);
    if (!flat.length) return;
    const table = tip.appendChild(make("table"));
    const row = table.appendChild(make("thead")).appendChild(make("tr"));
    for (const title of ["predicted", "reference", "artifact"]) row.append(make("th", title));
    const body = table.appendChild(make("tbody"));
    for (let at = 0; at < flat.length; at += 3) {
      const text = data.texts[flat[at]];
      const line = body.appendChild(make("tr", undefined, text === actual ? "actual" : ""));
      line.append(make("td", text === actual ? `${text} ◂` : text), share(flat[at + 1]), share(flat[at + 2]));
    }
  };
  const open = (token) => {
    fill(token);
    tip.hidden = false;
    const box = token.getClientRects()[0] || token.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), innerWidth - tip.offsetWidth - 8);
    const below = box.bottom + 8;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? Math.max(8, box.top - tip.offsetHeight - 8) : below}px`;
    if (described) described.removeAttribute("aria-describedby");
    described = token;
    token.setAttribute("aria-describedby", "tip");
  };
  const close = () => {
    tip.hidden = true;
    if (described) described.removeAttribute("aria-describedby");
    described = null;
  };
  const tokenOf = (event) => event.target.closest?.(".tokens > b");
  section.addEventListener("pointerover", (event) => {
    const token = tokenOf(event);
    if (token) open(token);
    else close();
  });
  section.addEventListener("pointerleave", close);
  addEventListener("scroll", close, { passive: true });
  section.addEventListener("focusin", (event) => {
    const token = tokenOf(event);
    if (token) open(token);
  });
  section.addEventListener("focusout", close);

  // One tab stop a document; arrows move inside it, up and down from one marked token (k3 and above) to the next.
  for (const box of section.querySelectorAll(".tokens")) if (box.firstElementChild) box.firstElementChild.tabIndex = 0;
  const marked = ".k3, .k4, .k5, .x";
  const step = (token, key) => {
    const box = token.parentElement;
    if (key === "ArrowRight") return token.nextElementSibling;
    if (key === "ArrowLeft") return token.previousElementSibling;
    if (key === "Home") return box.firstElementChild;
    if (key === "End") return box.lastElementChild;
    const all = [...box.querySelectorAll(marked)];
    if (key === "ArrowDown") return all.find((other) => place(other) > place(token));
    if (key === "ArrowUp") return all.reverse().find((other) => place(other) < place(token));
    return undefined;
  };
  section.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    if (!token) return;
    if (event.key === "Escape") close();
    const next = step(token, event.key);
    if (next === undefined && !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    if (!next) return;
    token.tabIndex = -1;
    next.tabIndex = 0;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    open(next);
  });
})();
