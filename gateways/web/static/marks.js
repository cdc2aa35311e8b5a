// Marks of priorities: colour, shape and number say the same (ANSI/ISA-18.2, ISA-101).
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = { 1: "M3 3h20v20H3z", 2: "M13 2 25 23H1z", 3: "M13 2a11 11 0 1 0 .01 0z", 4: "M13 1 25 13 13 25 1 13z" };

export const priority = (severity) => (severity >= 800 ? 1 : severity >= 600 ? 2 : severity >= 400 ? 3 : 4);

export function marker(level, { over = false, unseen = false } = {}) {
  const mark = document.createElementNS(SVG, "svg");
  mark.setAttribute("viewBox", "0 0 26 26");
  mark.setAttribute("class", `marker mark-${level}${over ? " over" : ""}${unseen ? " unseen" : ""}`);
  mark.setAttribute("width", "26");
  mark.setAttribute("height", "26");
  mark.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", SHAPES[level]);
  shape.setAttribute("class", "shape");
  const figure = document.createElementNS(SVG, "text");
  figure.setAttribute("x", "13");
  figure.setAttribute("y", level === 2 ? "20.5" : "17.8");
  figure.textContent = level;
  mark.append(shape, figure);
  return mark;
}
