// What is wrong with the page for people who do not use it with good eyes and a mouse; returns
// sentences. Names and roles are judged by the browser's own accessibility tree, in Python.

const problems = [];
const isShown = (element) => element.checkVisibility({ visibilityProperty: true });
const say = (element, what) =>
  problems.push(`${element.tagName.toLowerCase()}#${element.id}.${element.className?.baseVal ?? element.className}: ${what}`);

// -- contrast (WCAG 1.4.3, 1.4.11) -------------------------------------------------------------

const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}

function over([r, g, b, a], [r2, g2, b2]) {
  return [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a), 1];
}

function ground(element) {
  const layers = [];
  for (let e = element; e !== null; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor);
    if (color[3] > 0) layers.push(color);
    if (color[3] === 1) break;
  }
  return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255, 1]);
}

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((v) => {
    const c = v / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

let nTexts = 0;
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim() !== "");
  if (!words || !isShown(element) || element.closest(".unseen, .skip, noscript")) continue;
  const style = getComputedStyle(element);
  const behind = ground(element);
  const isSvg = element instanceof SVGElement;
  const ink = over(rgba(isSvg ? style.fill : style.color), behind);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = contrast(ink, behind);
  nTexts += 1;
  if (ratio < (isLarge ? 3 : 4.5)) say(element, `text contrast ${ratio.toFixed(2)}`);
}

// Marks that carry a meaning, and the edges of what one can press or fill in.
const MARKS = ["found", "random", "total", "prior", "found-end", "zero"];
for (const element of document.querySelectorAll("svg.curve *, svg.bar *, svg.weight *")) {
  if (!isShown(element) || !MARKS.includes(element.classList[0])) continue;
  const style = getComputedStyle(element);
  const behind = ground(element);
  const ink = element.tagName === "circle" ? style.fill : style.stroke;
  const ratio = contrast(over(rgba(ink), behind), behind);
  if (ratio < 3) say(element, `mark contrast ${ratio.toFixed(2)}`);
}
for (const element of document.querySelectorAll("button:not(.symbol), input, select")) {
  if (!isShown(element)) continue;
  const style = getComputedStyle(element);
  const behind = ground(element.parentElement);
  const edge = Math.max(
    contrast(over(rgba(style.borderTopColor), behind), behind),
    contrast(ground(element), behind),
  );
  if (edge < 3) say(element, `edge contrast ${edge.toFixed(2)}`);
}

// -- structure ---------------------------------------------------------------------------------

const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids.filter((id, i) => ids.indexOf(id) !== i)) problems.push(`id ${id} twice`);
for (const name of ["aria-labelledby", "aria-describedby"]) {
  for (const element of document.querySelectorAll(`[${name}]`)) {
    for (const id of element.getAttribute(name).split(" ")) {
      if (!document.getElementById(id)) say(element, `${name} names ${id}, which is not there`);
    }
  }
}
for (const table of document.querySelectorAll("table")) {
  if (!table.caption?.textContent.trim()) say(table, "no caption");
  for (const th of table.querySelectorAll("thead th")) if (th.scope !== "col") say(th, "no scope");
  for (const row of table.tBodies[0].rows) {
    if (row.cells[0].tagName !== "TH" || row.cells[0].scope !== "row") say(row, "no row header");
  }
}
const headings = [...document.querySelectorAll("h1, h2, h3")].filter(isShown);
if (headings.filter((h) => h.tagName === "H1").length !== 1) problems.push("not one h1");
headings.reduce((above, heading) => {
  const level = Number(heading.tagName[1]);
  if (level > above + 1) say(heading, `level ${level} below level ${above}`);
  return level;
}, 0);
if (document.documentElement.lang !== "en") problems.push("no language");
if (document.title === "") problems.push("no title");

// Targets of a finger: 24 pixels at least (WCAG 2.5.8).
for (const element of document.querySelectorAll("button, select, summary, input:not([type=checkbox])")) {
  if (!isShown(element)) continue;
  const { width, height } = element.getBoundingClientRect();
  if (Math.min(width, height) < 23.5) say(element, `${width.toFixed()} x ${height.toFixed()} px`);
}

return { problems, nTexts };
