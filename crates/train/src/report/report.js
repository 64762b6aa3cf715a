'use strict';
// A mistake is shown, not swallowed.
addEventListener('error', event => {
  const problem = document.getElementById('problem');
  problem.hidden = false;
  problem.textContent += `This page could not be drawn whole: ${event.message}. `;
});

const data = JSON.parse(document.getElementById('data').textContent);
const main = document.getElementById('main');
// What depends on the page's width.
const redraw = [];

// An element with attributes and children; what is text stays text.
function make(name, attributes = {}, ...children) {
  const vector = ['svg', 'g', 'path', 'line', 'rect', 'text', 'circle', 'title', 'defs', 'marker'].includes(name);
  const element = vector ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function section(title, note, ...children) {
  main.append(make('section', {}, make('h2', {}, title), ...(note ? [make('p', {}, note)] : []), ...children));
}

const colour = number => `var(--c${number % 6})`;

function show(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace(/\.?0*e\+?/, 'e') : String(+value.toPrecision(4));
}

// Round numbers in a range, about `count` of them; powers of ten on a logarithmic axis.
function ticks(low, high, count, log) {
  const all = [];
  if (log) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const step = Math.max(1, Math.ceil((last - first) / count));
    for (let power = first; power <= last; power += step) all.push(+`1e${power}`);
    if (all.length > 1) return all;
    all.length = 0;
  }
  const raw = (high - low) / count, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * unit).find(s => s >= raw * 0.999);
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) all.push(+(k * step).toPrecision(12));
  return all;
}

// ---- Curves

function chart({ title, curves }) {
  const values = curves.flatMap(curve => curve.points.flatMap(point => point.slice(1)));
  const xs = curves.flatMap(curve => curve.points.map(point => point[0]));
  const least = values.reduce((a, b) => Math.min(a, b), Infinity), most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const x0 = xs.reduce((a, b) => Math.min(a, b), Infinity), x1 = xs.reduce((a, b) => Math.max(a, b), -Infinity);
  const box = make('input', { type: 'checkbox' });
  box.checked = least > 0 && most / least > 50;
  const label = make('label', {}, box, ' logarithmic');
  label.hidden = !(least > 0);
  const said = make('output');
  const holder = make('div');
  const legend = make('div', { class: 'legend' }, ...curves.map((curve, k) => make('span', {},
    make('i', { style: `background:${colour(k)}` }), curve.name || title,
    curve.per > 1 ? ` (points are means of ${curve.per}; the shade, their range)` : '')));
  const card = make('figure', { class: 'card chart', style: 'margin:0' },
    make('div', { class: 'head' }, make('h3', {}, title), label), holder, said, legend);

  let cursor = null; // a step
  function draw() {
    const width = Math.max(260, holder.clientWidth || 560), height = 220;
    const [left, right, top, bottom] = [58, 10, 8, 24];
    const svg = make('svg', { viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: 'img', 'aria-label': `${title} by step` });
    holder.replaceChildren(svg);
    if (!values.length) {
      svg.append(make('text', { x: left, y: height / 2 }, 'no finite value'));
      return;
    }
    const log = box.checked;
    const map = value => log ? Math.log10(value) : value;
    let [low, high] = [map(least), map(most)];
    const room = high > low ? (high - low) * 0.04 : Math.abs(high) * 0.1 || 1;
    [low, high] = [low - room, high + room];
    const px = x => x1 > x0 ? left + (x - x0) / (x1 - x0) * (width - left - right) : (left + width - right) / 2;
    const py = y => top + (high - map(y)) / (high - low) * (height - top - bottom);
    const back = value => log ? 10 ** value : value;
    for (const y of ticks(back(low), back(high), 5, log)) {
      svg.append(make('line', { class: 'axis', x1: left, x2: width - right, y1: py(y), y2: py(y) }),
        make('text', { x: left - 6, y: py(y) + 4, 'text-anchor': 'end' }, show(y)));
    }
    for (const x of x1 > x0 ? ticks(x0, x1, width / 110, false) : [x0]) {
      svg.append(make('text', { x: px(x), y: height - 6, 'text-anchor': px(x) > width - 30 ? 'end' : 'middle' }, show(x)));
    }
    curves.forEach((curve, k) => {
      // Parts without a gap in them.
      const parts = [[]];
      for (const point of curve.points) {
        if (point.length > 1) parts.at(-1).push(point);
        else {
          svg.append(make('line', { class: 'gap', x1: px(point[0]), x2: px(point[0]), y1: height - bottom, y2: height - bottom - 6, stroke: 'var(--bad)' }));
          parts.push([]);
        }
      }
      for (const part of parts.filter(part => part.length)) {
        const at = (x, y) => `${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
        if (part.some(point => point.length > 2)) {
          const upper = part.map(([x, y, , most]) => at(x, most ?? y)), lower = part.map(([x, y, least]) => at(x, least ?? y));
          svg.append(make('path', { d: `M${upper.join('L')}L${lower.reverse().join('L')}Z`, fill: colour(k), opacity: 0.2 }));
        }
        svg.append(make('path', { class: 'curve', d: `M${part.map(([x, y]) => at(x, y)).join('L')}`, fill: 'none', stroke: colour(k), 'stroke-width': 1.5 }));
        if (part.length === 1) svg.append(make('circle', { cx: px(part[0][0]), cy: py(part[0][1]), r: 2.5, fill: colour(k) }));
      }
    });
    const line = make('line', { class: 'cursor', y1: top, y2: height - bottom, visibility: 'hidden' });
    svg.append(line);
    const steps = [...new Set(xs)].sort((a, b) => a - b);
    function point(step) {
      cursor = step;
      line.setAttribute('visibility', 'visible');
      line.setAttribute('x1', px(step));
      line.setAttribute('x2', px(step));
      const at = curve => curve.points.reduce((best, p) => Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best);
      said.textContent = `step ${show(step)}: ` + curves.map(curve => {
        const found = at(curve);
        return `${curve.name} ${found.length > 1 ? show(found[1]) : 'not finite'}`.trim();
      }).join(', ');
    }
    const nearest = x => steps.reduce((best, s) => Math.abs(px(s) - x) < Math.abs(px(best) - x) ? s : best);
    svg.addEventListener('pointermove', event => {
      const area = svg.getBoundingClientRect();
      point(nearest((event.clientX - area.left) / area.width * width));
    });
    svg.addEventListener('keydown', event => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      point(steps[Math.min(steps.length - 1, Math.max(0, steps.indexOf(cursor) + by))]);
    });
  }
  box.addEventListener('change', draw);
  redraw.push(draw);
  return card;
}

// ---- Maps

// Viridis (van der Walt & Smith 2015) at nine places.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function viridis(part) {
  const at = Math.min(1, Math.max(0, part)) * 8, k = Math.min(7, Math.floor(at));
  return VIRIDIS[k].map((from, c) => Math.round(from + (VIRIDIS[k + 1][c] - from) * (at - k)));
}

const STRANGE = [230, 60, 60];

// Columns from left to right, the first value of each at the bottom. `part` says where between 0 and 1 a value stands.
function heat(map, { title, part, rows, tell, top, bottom }) {
  const [width, height] = [map.columns.length, Math.max(1, ...map.columns.map(column => column.length))];
  const canvas = make('canvas', { width, height });
  const pen = canvas.getContext('2d'), image = pen.createImageData(width, height);
  let cells = 0;
  map.columns.forEach((column, x) => column.forEach((value, row) => {
    image.data.set([...(value === null ? STRANGE : viridis(part(value))), 255], 4 * ((height - 1 - row) * width + x));
    cells++;
  }));
  pen.putImageData(image, 0, 0);
  canvas.dataset.cells = cells;
  const said = make('output');
  const plot = make('div', { class: 'plot', tabindex: 0, role: 'img', 'aria-label': title }, canvas);
  let [x, y] = [width - 1, height - 1];
  function point(nextX, nextY) {
    [x, y] = [Math.min(width - 1, Math.max(0, nextX)), Math.min(height - 1, Math.max(0, nextY))];
    const value = map.columns[x][y];
    said.textContent = `step ${map.steps[x]}, ${rows(y)}: ` + (value === undefined ? 'none' : value === null ? 'not finite' : tell(value));
  }
  plot.addEventListener('pointermove', event => {
    const area = canvas.getBoundingClientRect();
    point(Math.floor((event.clientX - area.left) / area.width * width), height - 1 - Math.floor((event.clientY - area.top) / area.height * height));
  });
  plot.addEventListener('keydown', event => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    point(x + by[0], y + by[1]);
  });
  const thinned = map.every > 1 ? [make('div', { class: 'dim' }, `Shown: one column in ${map.every}.`)] : [];
  return make('figure', { class: 'card heat', style: 'margin:0' }, make('h3', {}, title),
    make('div', { class: 'map' }, make('div', { class: 'y' }, make('span', {}, top), make('span', {}, bottom)), plot,
      make('div', { class: 'x' }, make('span', {}, `step ${map.steps[0]}`), make('span', {}, String(map.steps.at(-1))))), said, ...thinned);
}

function scale(low, high) {
  const canvas = make('canvas', { width: 100, height: 1 });
  const pen = canvas.getContext('2d'), image = pen.createImageData(100, 1);
  for (let k = 0; k < 100; k++) image.data.set([...viridis(k / 99), 255], 4 * k);
  pen.putImageData(image, 0, 0);
  return make('div', { class: 'scale' }, low, canvas, high);
}

function flow() {
  const values = data.flow.flatMap(map => map.columns.flat()).filter(value => value > 0);
  const high = values.reduce((a, b) => Math.max(a, b), 1e-300);
  // What is less than a trillionth of the greatest norm is dark.
  const low = Math.max(values.reduce((a, b) => Math.min(a, b), high), high * 1e-12);
  const part = value => value <= low ? 0 : high > low ? Math.log(value / low) / Math.log(high / low) : 1;
  const cards = data.flow.map(map => {
    const height = Math.max(1, ...map.columns.map(column => column.length));
    const rows = y => map.perRow > 1 ? `t = ${y * map.perRow + 1}..${(y + 1) * map.perRow} (the greatest)` : `t = ${y + 1}`;
    return heat(map, { title: `‖∂L/∂${map.name}‖`, part, rows, tell: show, top: `t = ${height * map.perRow}`, bottom: 't = 1' });
  });
  section('Gradients through time', 'How much of the loss’s gradient reaches the state of each step t (upwards), over training (to the right). Dark towards t = 1: it vanishes on its way back; bright: it explodes. The scale is logarithmic and common to all maps.',
    scale(show(low), show(high)), make('div', { class: 'grid' }, ...cards));
}

function gates() {
  const cards = data.gates.map(map => {
    const bins = map.columns[0].length, low = bins === 20 ? 0 : -1, at = y => low + y * 0.05;
    const last = map.columns.at(-1), share = bins => `${(100 * bins.reduce((a, b) => a + b, 0)).toFixed(0)} %`;
    const card = heat(map, {
      title: `gate ${map.name}`, part: value => Math.sqrt(value), top: '1', bottom: String(low), tell: value => `${(100 * value).toFixed(1)} %`,
      rows: y => `${at(y).toFixed(2)} to ${at(y + 1).toFixed(2)}`,
    });
    card.append(make('div', { class: 'dim saturation' }, `At the end ${share(last.slice(0, 2))} are below ${(low + 0.1).toFixed(1)}, ${share(last.slice(-2))} above 0.9.`));
    if (map.outside) card.append(make('div', { class: 'dim' }, `${map.outside} values lay outside of [−1, 1]; they are in the outermost rows.`));
    return card;
  });
  section('Gates', 'Histograms of a gate’s values (upwards) over training (to the right). Where the values gather at an end, the gate is saturated and hardly learns.',
    scale('0 %', '100 %'), make('div', { class: 'grid' }, ...cards));
}

// ---- Equations

function equations() {
  const table = ({ title, lines }) => make('div', {}, make('h3', {}, title), make('div', { class: 'scroll' },
    make('table', { class: 'equations' }, ...lines.map(([left, right]) => make('tr', {}, make('td', {}, left), make('td', {}, '='), make('td', {}, right))))));
  section('The cell', '', ...data.equations.filter(part => part.lines.length).map(table), ...data.notes.map(note => make('p', {}, note)));
  graph();
}

// The derivatives as boxes in rows: each below all that it is computed from.
function graph() {
  const gradients = new Set(data.equations.slice(2).flatMap(part => part.lines.map(([left]) => left)));
  const lines = data.equations.slice(1).flatMap(part => part.lines);
  if (!lines.length) return;
  const nodes = new Map(lines.map(([left, right]) => [left, { left, right, from: [], rank: 0 }]));
  const inside = left => new RegExp(left.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '(?![\\p{L}\\p{M}\\p{N}_₋₊\']|\\.[\\p{L}\\p{N}])', 'u');
  const patterns = lines.map(([left]) => [left, inside(left)]);
  for (const [left, right] of lines) {
    const node = nodes.get(left);
    node.from = patterns.filter(([other, pattern]) => other !== left && pattern.test(right)).map(([other]) => nodes.get(other));
    // Equations come in the order in which they are computed.
    node.rank = 1 + Math.max(-1, ...node.from.map(other => other.rank));
  }
  const ranks = [];
  for (const node of nodes.values()) (ranks[node.rank] ??= []).push(node);
  const wide = node => 8.2 * [...node.left.replace(/\p{M}/gu, '')].length + 16;
  const widths = ranks.map(rank => rank.reduce((sum, node) => sum + wide(node) + 14, 0));
  const width = Math.max(...widths) + 10, height = ranks.length * 64;
  ranks.forEach((rank, k) => {
    let x = (width - widths[k]) / 2 + 7;
    for (const node of rank) {
      Object.assign(node, { x, y: k * 64 + 8 });
      x += wide(node) + 14;
    }
  });
  const svg = make('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'which derivative is computed from which' },
    make('defs', {}, make('marker', { id: 'tip', viewBox: '0 0 6 6', refX: 6, refY: 3, markerWidth: 7, markerHeight: 7, orient: 'auto' }, make('path', { d: 'M0 0L6 3L0 6' }))));
  for (const node of nodes.values()) {
    for (const other of node.from) {
      const [ax, ay, bx, by] = [other.x + wide(other) / 2, other.y + 28, node.x + wide(node) / 2, node.y];
      svg.append(make('path', { class: 'edge', 'data-edge': `${other.left} → ${node.left}`, d: `M${ax} ${ay}C${ax} ${ay + 20} ${bx} ${by - 20} ${bx} ${by}`, 'marker-end': 'url(#tip)' }));
    }
  }
  for (const node of nodes.values()) {
    svg.append(make('g', { class: gradients.has(node.left) ? 'node leaf' : 'node' }, make('title', {}, `${node.left} = ${node.right}`),
      make('rect', { x: node.x, y: node.y, width: wide(node), height: 28, rx: 4 }), make('text', { x: node.x + 8, y: node.y + 19 }, node.left)));
  }
  section('The backward graph', 'Which derivative is computed from which, read off the equations; gradients of parameters are green.', make('div', { class: 'graph scroll' }, svg));
}

// ---- The page



function table(rows, heads) {
  const cells = ([first, ...rest]) => make('tr', {}, make('th', {}, first), ...rest.map(text => make('td', {}, text)));
  const head = heads ? [make('tr', {}, ...heads.map(text => make('th', {}, text)))] : [];
  return make('div', { class: 'card' }, make('table', {}, ...head, ...rows.map(cells)));
}

if (data.charts.length) section('Curves', '', make('div', { class: 'grid' }, ...data.charts.map(chart)));
if (data.strange.length) {
  section('Not finite', 'They are gaps in the curves, with a mark below, and red in the maps.', table(data.strange.map(({ name, count, first }) =>
    [name, `${count} ${count === 1 ? 'value' : 'values'}: ` + first.map(([step, value]) => `${value} at step ${step}`).join(', ') + (count > first.length ? ', ..' : '')])));
  main.lastChild.id = 'strange';
}
if (data.flow.length) flow();
if (data.gates.length) gates();
if (data.equations.length) equations();
if (data.settings.length) section('Configuration', '', table(data.settings));
if (data.model.length) section('Parameters', '', table(data.model, ['name', 'type', 'shape']));
section('Environment', '', table(data.about));

redraw.forEach(draw => draw());
let wait;
addEventListener('resize', () => {
  clearTimeout(wait);
  wait = setTimeout(() => redraw.forEach(draw => draw()), 100);
});
document.body.dataset.drawn = 'whole';
