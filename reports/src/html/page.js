'use strict';
// The matrix of report.html: filters, the two tables, and the scenario beside them. diagram.js draws.
// All data are in the page (#data, made by data.rs); the place in the report is in the address (#…), so that it can be sent to somebody.

const data = JSON.parse(document.getElementById('data').textContent);
const many = data.targets.length > 1;
const $ = (id) => document.getElementById(id);

const WORDS = {
  contested: ['?', 'contested'], failed: ['✗', 'failed'], nearly: ['≈', 'nearly'], fail: ['✗', 'failed'], error: ['!', 'error'], skipped: ['↷', 'skipped'], skip: ['↷', 'skipped'], 'not-judged': ['○', 'not judged'],
  'not-shown': ['·', 'not exercised'], unobservable: ['∅', 'not on the wire'], shown: ['✓', 'shown'], pass: ['✓', 'passed'], none: ['–', 'not run'],
};
const OF_VIEW = {
  clauses: ['failed', 'nearly', 'contested', 'error', 'not-judged', 'skipped', 'not-shown', 'unobservable', 'shown'],
  scenarios: ['fail', 'nearly', 'contested', 'error', 'not-judged', 'skip', 'pass'],
};
const BAD = new Set(['failed', 'fail', 'nearly', 'error']);

// What is shown. Everything here is also in the address.
const EMPTY = { view: 'clauses', verdict: '', version: '', role: '', level: '', area: '', differ: '', contested: '', search: '', case: '', target: '0', theme: '' };
let state = { ...EMPTY };
let items = [];
let opener = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child != null && child !== false && child !== ''));
  return made;
}

function mark(word, attributes = {}, tag = 'span') {
  const [sign, text] = WORDS[word] ?? WORDS.none;
  return element(tag, { class: `mark ${word}`, ...attributes }, element('i', { 'aria-hidden': 'true' }, sign), text);
}

const wordsOf = (item) => (item.standing ?? item.results.map((result) => (result ? result.word : 'none')));
const caseName = (scenario) => `${scenario.file} ${scenario.version}${scenario.row ? ` [${scenario.row}]` : ''}${scenario.both ? ` (${scenario.tests})` : ''}`;
const areasOf = (item) => (item.area ? [item.area] : [...new Set(item.clauses.map((index) => data.clauses[index].area))]);
const folderOf = (scenario) => (scenario.file.includes('/') ? scenario.file.slice(0, scenario.file.lastIndexOf('/')) : '.');

function haystack(item) {
  if (item.haystack === undefined) {
    const texts = item.standing
      ? [item.id, item.section, item.summary, ...item.cases.map((index) => data.cases[index].file)]
      : [item.file, item.title, item.row ?? '', ...item.clauses.map((index) => data.clauses[index].id),
        ...item.results.flatMap((result) => (result && result.diagram !== undefined ? data.diagrams[result.diagram].rows.map((row) => row[6]) : []))];
    item.haystack = texts.join('\n').toLowerCase();
  }
  return item.haystack;
}

const TESTS = {
  verdict: (item, wanted) => wordsOf(item).some((word) => wanted.split(' ').includes(word)),
  version: (item, wanted) => item.version === wanted,
  role: (item, wanted) => (item.tests ? item.tests === wanted : item.role === 'both' || item.role === wanted),
  level: (item, wanted) => (item.level ? item.level === wanted : item.clauses.some((index) => data.clauses[index].level === wanted)),
  area: (item, wanted) => areasOf(item).includes(wanted),
  differ: (item) => new Set(wordsOf(item)).size > 1,
  contested: (item) => (item.standing ? Boolean(item.reading) : item.clauses.some((index) => data.clauses[index].reading)),
  search: (item, wanted) => wanted.toLowerCase().split(/\s+/).every((word) => haystack(item).includes(word)),
};

// The items that all filters let through; `without` leaves one filter out, to count what it would give.
function chosen(without) {
  const tests = Object.entries(TESTS).filter(([key]) => key !== without && state[key]);
  return data[state.view === 'clauses' ? 'clauses' : 'cases'].filter((item) => tests.every(([key, test]) => test(item, state[key])));
}

function set(change) {
  if (change.view && change.view !== state.view) change = { verdict: '', ...change };
  state = { ...state, ...change };
  const kept = Object.entries(state).filter(([key, value]) => value !== EMPTY[key]);
  history.replaceState(null, '', kept.length ? `#${new URLSearchParams(kept)}` : location.pathname + location.search);
  if (Object.keys(change).some((key) => key !== 'case' && key !== 'target' && key !== 'theme')) render();
  showDetail();
}

const toggled = (key, value) => set({ [key]: state[key] === value ? '' : value });

function renderFilters() {
  // Where there is no room beside the table the filters stay folded until somebody wants them.
const narrow = matchMedia('(max-width: 760px)');
const foldFilters = () => { $('filters').open = !narrow.matches; };
narrow.addEventListener('change', foldFilters);
foldFilters();
for (const button of document.querySelectorAll('[data-view]')) button.setAttribute('aria-pressed', button.dataset.view === state.view);
  if ($('search').value !== state.search) $('search').value = state.search;
  const wanted = state.verdict ? state.verdict.split(' ') : [];
  const counts = {};
  for (const item of chosen('verdict')) for (const word of new Set(wordsOf(item))) counts[word] = (counts[word] ?? 0) + 1;
  $('verdicts').replaceChildren(...OF_VIEW[state.view].filter((word) => counts[word] || wanted.includes(word)).map((word) => {
    const next = wanted.includes(word) ? wanted.filter((other) => other !== word) : [...wanted, word];
    return element('button', { 'aria-pressed': String(wanted.includes(word)), 'data-verdict': word, onclick: () => set({ verdict: next.join(' ') }) },
      mark(word), element('b', {}, String(counts[word] ?? 0)));
  }));
  const choices = (id, key, values) => $(id).replaceChildren(...values.map(([value, text]) =>
    element('button', { 'aria-pressed': String(state[key] === value), onclick: () => toggled(key, value) }, text)));
  const versions = [...new Set(data.cases.map((scenario) => scenario.version))].sort();
  choices('version', 'version', versions.map((version) => [version, `MQTT ${version}`]));
  choices('role', 'role', [['server', 'Server'], ['client', 'Client']]);
  choices('level', 'level', ['MUST', 'SHOULD', 'MAY'].map((level) => [level, level]));
  const extra = [many && ['differ', 'targets differ'], data.clauses.some((clause) => clause.reading) && ['contested', 'contested']].filter(Boolean);
  $('extra').replaceChildren(...extra.map(([key, text]) => element('button', { 'aria-pressed': String(Boolean(state[key])), onclick: () => set({ [key]: state[key] ? '' : '1' }) }, text)));
  $('extra').hidden = extra.length === 0;
  renderAreas();
}

function renderAreas() {
  const areas = new Map(data.areas.map((area) => [area, { all: 0, good: 0, bad: 0 }]));
  for (const item of chosen('area')) {
    const words = wordsOf(item);
    for (const name of areasOf(item)) {
      const area = areas.get(name);
      area.all += 1;
      if (words.some((word) => BAD.has(word))) area.bad += 1;
      else if (words.some((word) => word === 'shown' || word === 'pass')) area.good += 1;
    }
  }
  $('areas').replaceChildren(...[...areas].filter(([name, area]) => area.all || state.area === name).map(([name, area]) => {
    const share = (count) => `width:${area.all ? (100 * count) / area.all : 0}%`;
    return element('li', {}, element('button', { 'aria-pressed': String(state.area === name), onclick: () => toggled('area', name) },
      element('span', {}, name), element('small', { title: 'held, of all that fits the other filters' }, `${area.good}/${area.all}${area.all ? ` · ${Math.floor((100 * area.good) / area.all)}%` : ''}`),
      element('span', { class: 'meter' }, element('i', { class: 'shown', style: share(area.good) }), element('i', { class: 'failed', style: share(area.bad) }))));
  }));
}

function renderTable() {
  items = chosen();
  const clauses = state.view === 'clauses';
  const heads = clauses ? ['statement', 'level', 'what it asks for'] : ['scenario', 'version', 'what it shows'];
  $('table').className = state.view;
  $('table').tHead.replaceChildren(element('tr', {}, ...heads.map((head) => element('th', { scope: 'col', class: head.split(' ')[0] }, head)),
    ...data.targets.map((target) => element('th', { scope: 'col', class: 'target-name', title: target.name }, many ? target.letter : '', element('span', {}, many ? ` ${target.name}` : 'verdict')))));
  const rows = document.createDocumentFragment();
  let group = null;
  items.forEach((item, index) => {
    const name = clauses ? `${item.area}, MQTT ${item.version}` : folderOf(item);
    if (name !== group) {
      group = name;
      const same = items.filter((other) => (clauses ? `${other.area}, MQTT ${other.version}` : folderOf(other)) === name);
      const bad = same.filter((other) => wordsOf(other).some((word) => BAD.has(word))).length;
      rows.append(element('tr', { class: 'group' }, element('td', { colspan: 3 + data.targets.length }, name,
        element('small', {}, `${same.length}${bad ? ` · ${bad} failed` : ''}`))));
    }
    rows.append(line(item, index));
  });
  $('table').tBodies[0].replaceChildren(rows);
  const total = data[clauses ? 'clauses' : 'cases'].length;
  const what = clauses ? 'statements' : 'cases';
  $('found').textContent = items.length === total ? `${total} ${what}` : `${items.length} of ${total} ${what}`;
  $('reset').hidden = items.length === total;
}

const short = (scenario) => scenario.file.slice(scenario.file.lastIndexOf('/') + 1).replace(/\.mqtt$/, '');

function line(item, index) {
  const clauses = state.view === 'clauses';
  const cells = clauses
    ? [element('td', { class: 'id' }, item.id), element('td', { class: 'level' }, element('span', { class: 'tag' }, item.level)),
      element('td', { class: 'what' }, item.summary, item.reading ? element('span', { class: 'tag contested' }, 'contested') : '')]
    : [element('td', { class: 'id' }, short(item), item.row && element('small', {}, `[${item.row}]`)), element('td', { class: 'version' }, element('span', { class: 'tag' }, item.version)),
      element('td', { class: 'what' }, item.title, element('small', { class: 'file' }, `${short(item)}${item.row ? ` [${item.row}]` : ''}`),
        item.tests === 'client' && element('small', {}, 'tests a client'))];
  const words = wordsOf(item).map((word) => element('td', { class: 'cell' }, mark(word)));
  const row = element('tr', { class: 'item', tabindex: index === 0 ? '0' : '-1', 'data-index': index, 'aria-expanded': clauses ? 'false' : null, onclick: (event) => {
    if (event.target.closest('a, button')) return;
    focusRow(row);
    open(row);
  } }, ...cells, ...words);
  if (!clauses && caseName(item) === state.case) row.classList.add('chosen');
  return row;
}

function open(row) {
  const item = items[row.dataset.index];
  if (item.results) {
    opener = row;
    set({ case: caseName(item), target: String(firstTarget(item)) });
    return;
  }
  const shut = row.nextElementSibling?.classList.contains('more');
  row.setAttribute('aria-expanded', String(!shut));
  if (shut) row.nextElementSibling.remove();
  else row.after(more(item));
}

// The target to look at first: one that failed.
const firstTarget = (scenario) => {
  const bad = scenario.results.findIndex((result) => result && BAD.has(result.word));
  return bad >= 0 ? bad : Math.max(0, scenario.results.findIndex(Boolean));
};

function more(clause) {
  const who = { both: 'Client and Server', server: 'Server', client: 'Client' }[clause.role];
  const scenarios = clause.cases.map((index) => data.cases[index]);
  return element('tr', { class: 'more' }, element('td', { colspan: 3 + data.targets.length },
    element('a', { href: clause.link, rel: 'noreferrer' }, `MQTT ${clause.version}, section ${clause.section}`), ` · for the ${who}`,
    clause.reading && element('p', { class: 'note' }, element('b', {}, 'Contested. '), `The reading applied: ${clause.reading}`),
    clause.unobservable && element('p', { class: 'soft' }, `Not on the wire: ${clause.unobservable}`),
    scenarios.length === 0 && !clause.unobservable && element('p', { class: 'soft' }, 'No scenario that was run cites it.'),
    element('ul', {}, ...scenarios.map((scenario) => element('li', {}, element('span', { class: 'title' }, scenario.title, element('span', { class: 'soft' }, ` ${caseName(scenario)}`)),
      ...scenario.results.map((result, target) => result && mark(result.word, {
        title: `${caseName(scenario)} on ${data.targets[target].name}`,
        onclick: (event) => { opener = event.currentTarget; set({ case: caseName(scenario), target: String(target) }); },
      }, 'button')))))));
}

function focusRow(row) {
  if (!row) return;
  for (const other of document.querySelectorAll('tr.item[tabindex="0"]')) other.tabIndex = -1;
  row.tabIndex = 0;
  row.focus();
  row.scrollIntoView({ block: 'nearest' });
}

function step(by, fits = () => true) {
  const rows = [...document.querySelectorAll('tr.item')];
  const at = rows.indexOf(document.activeElement.closest?.('tr.item') ?? document.querySelector('tr.item[tabindex="0"]'));
  const here = document.activeElement.closest?.('tr.item') || opener?.isConnected;
  for (let next = here ? at + by : Math.max(at, 0); next >= 0 && next < rows.length; next += by) {
    if (fits(items[rows[next].dataset.index])) {
      focusRow(rows[next]);
      if (state.case && state.view === 'scenarios') open(rows[next]);
      return;
    }
  }
}

function close() {
  if ($('keys').open) return $('keys').close();
  if (state.case) {
    set({ case: '', target: '0' });
    if (opener?.isConnected) opener.focus();
    return;
  }
  if (document.activeElement === $('search')) {
    set({ search: '' });
    focusRow(document.querySelector('tr.item[tabindex="0"]'));
  }
}

const onlyBad = () => OF_VIEW[state.view].filter((word) => BAD.has(word)).join(' ');
const bad = (item) => wordsOf(item).some((word) => BAD.has(word));
const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), n: () => step(1, bad), p: () => step(-1, bad),
  Home: () => focusRow(document.querySelector('tr.item')), End: () => focusRow([...document.querySelectorAll('tr.item')].at(-1)),
  '/': () => $('search').focus(), c: () => set({ view: 'clauses' }), s: () => set({ view: 'scenarios' }),
  f: () => set({ verdict: state.verdict === onlyBad() ? '' : onlyBad() }), '?': () => $('keys').showModal(),
  t: () => state.case && set({ target: String((Number(state.target) + 1) % data.targets.length) }),
};

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') { close(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || $('keys').open) return;
  const typing = event.target === $('search');
  if (typing && event.key !== 'ArrowDown') return;
  const inside = event.target.closest?.('aside, nav, .targets');
  if (inside && /^(Arrow|Home|End)/.test(event.key)) return;
  if (event.key === 'Enter' && event.target.matches?.('tr.item')) open(event.target);
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});

function render() {
  renderFilters();
  renderTable();
}

function applyTheme() {
  document.documentElement.dataset.theme = state.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
}

for (const button of document.querySelectorAll('[data-view]')) button.addEventListener('click', () => set({ view: button.dataset.view }));
$('search').addEventListener('input', (event) => set({ search: event.target.value }));
$('reset').addEventListener('click', () => set({ ...EMPTY, view: state.view, case: state.case, target: state.target, theme: state.theme }));
$('help').addEventListener('click', () => $('keys').showModal());
$('theme').addEventListener('click', () => { set({ theme: document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark' }); applyTheme(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', applyTheme);

function fromAddress() {
  const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state = { ...EMPTY, ...Object.fromEntries(Object.entries(wanted).filter(([key]) => key in EMPTY)) };
  applyTheme();
  render();
  showDetail();
  // A link leads to the scenario in the table too.
  document.querySelector('tr.item.chosen')?.scrollIntoView({ block: 'center' });
}
addEventListener('hashchange', fromAddress);
fromAddress();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
