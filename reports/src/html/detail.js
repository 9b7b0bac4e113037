'use strict';
// The scenario beside the tables: what failed, its sequence diagram, and the packet that is looked at. Drawn when it is opened, not before.
// A diagram comes laid out (reports/src/diagram): lanes [name, x], bars [x, top, bottom], bands [left, right, top, bottom, severe],
// rows [kind, y, nanoseconds, from, to, middle, text, hex, line, bad].

const HEAD = 34; // Of a diagram: the height of the hosts' names.
const LEAST_SCALE = 0.82; // A diagram that is too wide is drawn smaller, as long as it can be read; then it is scrolled.
const KINDS = ['packet', 'opened', 'closed', 'fault', 'application', 'note', 'pause', 'failure'];

function showDetail() {
  const scenario = state.case && data.cases.find((one) => caseName(one) === state.case);
  document.querySelector('.columns').classList.toggle('open', Boolean(scenario));
  $('detail').hidden = !scenario;
  for (const row of document.querySelectorAll('tr.item.chosen')) row.classList.remove('chosen');
  if (!scenario) { $('detail').replaceChildren(); return; }
  const at = items.indexOf(scenario);
  document.querySelector(`tr.item[data-index="${at}"]`)?.classList.add('chosen');
  const result = scenario.results[Number(state.target)] ?? null;
  $('detail').replaceChildren(...detailParts(scenario, result));
  $('detail').scrollTop = 0;
}

function detailParts(scenario, result) {
  const tabs = many && element('div', { class: 'choices', role: 'group', 'aria-label': 'Target' }, ...scenario.results.map((one, index) =>
    element('button', { 'aria-pressed': String(index === Number(state.target)), disabled: one === null, onclick: () => set({ target: String(index) }) },
      `${data.targets[index].letter} ${data.targets[index].name} `, mark(one ? one.word : 'none'))));
  const parts = [
    element('div', { class: 'bar' }, element('h2', {}, scenario.title), element('button', { title: 'Close (Esc)', 'aria-label': 'Close', onclick: close }, '✕')),
    element('p', {}, element('code', {}, caseName(scenario)), ' ', !many && result && mark(result.word)),
    tabs,
    clauseTags(scenario, result),
  ];
  if (!result) return [...parts, element('p', { class: 'soft' }, 'It was not run on this target.')].filter(Boolean);
  parts.push(result.reason && element('pre', {}, result.reason), runs(result));
  for (const failure of result.failures ?? []) parts.push(failureBox(failure));
  if (result.printed) parts.push(element('details', {}, element('summary', {}, 'What its server printed'), element('pre', {}, result.printed.join('\n'))));
  parts.push(facts(result));
  if (result.diagram === undefined) parts.push(element('p', { class: 'soft' }, 'Its history is not in the report.'));
  else parts.push(...picture(data.diagrams[result.diagram]));
  return parts.filter(Boolean);
}

function clauseTags(scenario) {
  return element('p', {}, ...scenario.clauses.flatMap((index) => {
    const clause = data.clauses[index];
    return [element('a', { class: 'tag', href: clause.link, title: clause.summary, rel: 'noreferrer' }, clause.id), ' '];
  }));
}

function runs(result) {
  const seeds = `${result.seeds.length === 1 ? 'seed' : 'seeds'} ${result.seeds.join(', ')}${result.failed > result.seeds.length ? ', …' : ''}`;
  const failed = result.failed && result.runs > 1 ? `, ${result.failed} of them failed (${seeds})` : '';
  const time = (milliseconds) => milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  const took = result.took === undefined ? '' : `, ${time(result.took)}`;
  const forward = result.forward === undefined ? '' : `, its server's clock put forward by ${time(result.forward)}`;
  return element('p', { class: 'soft' }, `${result.runs} ${result.runs === 1 ? 'run' : 'runs'}${failed}${took}${forward}`);
}

function failureBox(failure) {
  const pair = (name, ...what) => (what.some(Boolean) ? [element('dt', {}, name), element('dd', {}, ...what)] : []);
  const code = (text) => text && element('code', {}, text);
  return element('div', { class: `failure${failure.nearly ? ' nearly' : ''}` },
    element('dl', {},
      ...failure.requirements.flatMap((requirement) => pair(requirement.level ?? failure.level,
        element('a', { href: requirement.link, rel: 'noreferrer' }, `${requirement.clause} (MQTT ${requirement.version}${requirement.section ? `, section ${requirement.section}` : ''})`), ` ${requirement.summary}`)),
      ...pair('found by', failure.by), ...pair('line', code(failure.source)), ...pair('expected', code(failure.expected)), ...pair('actual', code(failure.actual)),
      ...pair('bytes', code(failure.hex)), ...pair('nearly', failure.nearly)),
    element('div', { class: 'command' }, element('code', {}, failure.command),
      element('button', { onclick: (event) => { navigator.clipboard?.writeText(failure.command); event.currentTarget.textContent = 'copied'; } }, 'copy')));
}

function facts(result) {
  const list = [];
  for (const [line, name, level, runs] of result.branches ?? []) list.push(['took a branch', `${name} (line ${line}, ${level}${result.runs > 1 ? `, ${runs} of ${result.runs} runs` : ''})`]);
  for (const [name, runs] of result.marks ?? []) list.push(['reached', `${name}${result.runs > 1 ? ` (${runs} of ${result.runs} runs)` : ''}`]);
  for (const [what, drawn] of result.drawn ?? []) list.push(['drawn from the seed', `${what} = ${drawn}`]);
  if (result.reading) list.push(['contested', `the reading applied: ${result.reading}`]);
  return list.length > 0 && element('dl', {}, ...list.flatMap(([name, text]) => [element('dt', {}, name), element('dd', {}, text)]));
}

const seconds = (nanoseconds, decimals = 6) => `${(Math.floor(nanoseconds / 10 ** (9 - decimals)) / 10 ** decimals).toFixed(decimals)}s`;
const cut = (text, length = data.label) => { const plain = text.replace(/^[<> ]+/, ''); const letters = [...plain]; return letters.length <= length ? plain : `${letters.slice(0, length - 1).join('').trimEnd()}…`; };

function drawn(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function picture(diagram) {
  // The names of the hosts stay in sight while the drawing is scrolled, so they are a drawing of their own above it.
  const head = drawn('svg', { class: 'diagram hosts', viewBox: `0 0 ${diagram.width} ${HEAD}`, role: 'presentation' });
  const svg = drawn('svg', { class: 'diagram', viewBox: `0 ${HEAD} ${diagram.width} ${diagram.height - HEAD}`, role: 'group', 'aria-label': 'Sequence diagram' });
  const sheet = element('div', { class: 'sheet', style: `max-width:${diagram.width}px;min-width:${Math.round(diagram.width * LEAST_SCALE)}px` }, head, svg);
  for (const [left, right, top, bottom, severe] of diagram.bands) svg.append(drawn('rect', { class: severe ? 'band severe' : 'band', x: left, y: top, width: right - left, height: bottom - top }));
  for (const [name, x] of diagram.lanes) {
    head.append(drawn('text', { class: 'host', x, y: 22 }, name));
    svg.append(drawn('path', { class: 'lane', d: `M${x} ${HEAD}V${diagram.height - 12}` }));
  }
  for (const [x, top, bottom] of diagram.bars) svg.append(drawn('rect', { class: 'bar', x: x - 3, y: top, width: 6, height: bottom - top, rx: 2 }));
  const below = element('div', { id: 'packet' }, element('p', { class: 'soft' }, 'Choose a packet (click, or Tab and ↑ ↓) to see its fields and bytes.'));
  let first = true;
  for (const row of diagram.rows) {
    const group = drawRow(row, diagram);
    if (KINDS[row[0]] === 'packet') {
      group.setAttribute('tabindex', first ? '0' : '-1');
      group.setAttribute('aria-label', row[6]);
      group.addEventListener('focus', () => choosePacket(svg, group, row, below));
      group.addEventListener('click', () => group.focus());
      first = false;
    }
    svg.append(group);
  }
  svg.addEventListener('keydown', (event) => {
    const packets = [...svg.querySelectorAll('g.packet')];
    const next = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const to = next && packets[packets.indexOf(document.activeElement) + next];
    if (!to) return;
    to.focus();
    event.preventDefault();
  });
  const lines = diagram.rows.filter((row) => KINDS[row[0]] !== 'pause').map((row) => `${seconds(row[2]).padStart(14)}  ${row[6]}`);
  return [element('section', {}, element('div', { class: 'picture', tabindex: '0', role: 'region', 'aria-label': 'Sequence diagram, scrollable' }, sheet)), below,
    element('details', {}, element('summary', {}, 'As text'), element('pre', {}, lines.join('\n')))];
}

function drawRow([kind, y, at, from, to, middle, text, , line, bad], { width, long }) {
  const name = KINDS[kind];
  const group = drawn('g', { class: `row ${name}${bad ? ' bad' : ''}` });
  const label = (dy, words) => group.append(drawn('text', { x: middle, y: y + dy }, words));
  const told = (dy, words, x) => group.append(drawn('title', {}, text), drawn('text', { class: 'left', x, y: y + dy }, words));
  if (name !== 'pause') group.append(drawn('text', { class: 'time', x: 82, y: y + 4 }, seconds(at)));
  if (line) group.append(drawn('text', { class: 'line', x: width - 10, y: y + 4 }, String(line)));
  if (name === 'packet' || name === 'closed') {
    const back = from < to ? to - 9 : to + 9;
    group.append(drawn('title', {}, text), drawn('path', { d: `M${from} ${y}H${to}` }), drawn('path', { class: 'head', d: `M${to} ${y}L${back} ${y - 4}V${y + 4}Z` }));
    label(-6, cut(text));
  } else if (name === 'opened') group.append(drawn('circle', { cx: from, cy: y, r: 4.5 }));
  else if (name === 'pause') { group.append(drawn('path', { d: `M${from} ${y}H${to}` })); label(-5, `${seconds(at, 3)} later`); }
  else if (name === 'failure') { group.append(drawn('path', { d: `M92 ${y}H${width - 34}` })); told(-7, `✗ ${cut(text, long)}`, 98); }
  else if (name === 'fault') { group.append(drawn('path', { d: `M${from} ${y}H${to}` })); told(-6, cut(text, long), from + 6); }
  else label(4, cut(text));
  return group;
}

function choosePacket(svg, group, row, below) {
  for (const other of svg.querySelectorAll('g.packet')) { other.classList.toggle('chosen', other === group); other.setAttribute('tabindex', other === group ? '0' : '-1'); }
  const [, , at, , , , text, hex, line] = row;
  const way = text.startsWith('>') ? 'client → server' : 'server → client';
  const [name, ...fields] = text.replace(/^[<>] /, '').match(/(?:\{[^}]*\}|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^\s"{[])+/g) ?? [''];
  below.replaceChildren(element('b', {}, name), ` ${way} at ${seconds(at)}${line ? `, line ${line} of the scenario` : ''}`,
    element('dl', {}, ...fields.flatMap((field) => {
      const [, key, value] = field.match(/^([a-z_]+)=(.*)$/s) ?? [null, field, ''];
      return [element('dt', {}, key), element('dd', {}, element('code', {}, value || '✓'))];
    })), element('pre', {}, dump(hex)));
}

// Sixteen bytes a line, as hex and as text.
function dump(hex) {
  const [digits, size] = hex.split('+');
  const lines = (digits.match(/.{1,32}/g) ?? []).map((part, index) => {
    const bytes = part.match(/../g);
    const text = bytes.map((pair) => { const code = parseInt(pair, 16); return code > 31 && code < 127 ? String.fromCharCode(code) : '·'; }).join('');
    return `${(index * 16).toString(16).padStart(4, '0')}  ${bytes.join(' ').padEnd(48)} ${text}`;
  });
  return lines.join('\n') + (size ? `\n… ${size} bytes in all` : '');
}
