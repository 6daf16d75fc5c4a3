'use strict';
/*
 * The status page. Everything that comes from the guard may hold a stranger's text (branch names,
 * log lines), so it only ever becomes a text node, with control and bidirectional characters made
 * visible. Nothing is built from HTML text.
 */

const $ = (id) => document.getElementById(id);
const RUNS_SHOWN = 100;
const RUNS_KEPT = 300;
const NEEDS_FIRST = 3; /* so that the live runs stay in sight */
const NEEDS_MOST = 50;

/* --- words ------------------------------------------------------------------- */

const STATES = {
	needs_you: { name: 'Needs you', icon: 'M12 4v9M12 18v.5' },
	healing: { name: 'Healing', icon: 'M20 12a8 8 0 1 1-2.4-5.7M20 3v4h-4' },
	diagnosing: { name: 'Diagnosing', icon: 'M12 3a9 9 0 1 1-9 9' },
	running: { name: 'Running', icon: 'M12 3a9 9 0 1 1-9 9' },
	queued: { name: 'Queued', icon: 'M12 7v5l3 2M12 3a9 9 0 1 0 .01 0' },
	healed: { name: 'Healed', icon: 'M5 13l4.5 4.5L19 7.5' },
	passed: { name: 'Passed', icon: 'M5 13l4.5 4.5L19 7.5' },
	observed: { name: 'Observed', icon: 'M2.5 12C6 6.5 18 6.5 21.5 12 18 17.5 6 17.5 2.5 12zM12 10.5a1.5 1.5 0 1 0 .01 0' },
	ended: { name: 'Ended', icon: 'M6 12h12' },
};
const GROUPS = [
	['all', 'All', null],
	['needs_you', 'Needs you', ['needs_you']],
	['busy', 'In progress', ['queued', 'running', 'diagnosing', 'healing']],
	['healed', 'Healed', ['healed']],
	['observed', 'Observed', ['observed']],
	['passed', 'Passed', ['passed', 'ended']],
];
const STRATEGIES = {
	rerun_failed_jobs: 'Re-run failed jobs',
	retry_with_backoff: 'Re-run failed jobs later',
	rerun_all: 'Re-run all jobs',
	refresh_credentials: 'Renew the credentials, re-run failed jobs',
	update_branch: 'Bring the branch up to date',
	rerun_larger_runner: 'Run it on a larger runner',
	cancel_stuck_and_rerun: 'Stop what hangs, and re-run it',
	clear_cache_and_rerun: 'Clear the caches, re-run failed jobs',
	bump_timeout: 'Propose a longer time limit',
	use_mirror: 'Propose a mirror',
	quarantine_test: 'Propose to quarantine a flaky test',
	fix_lint: 'Propose what the formatter makes of it',
	refresh_lockfile: 'Propose a new lock file',
	update_snapshots: 'Propose new snapshots',
	revert_commit: 'Propose to take the commit back',
	escalate: 'Ask a person',
};
const RESULTS = {
	healed: ['good', 'Healed: the next attempt passed'],
	same_failure: ['bad', 'Failed again in the same way'],
	different_failure: ['bad', 'Failed again, differently'],
	timed_out: ['bad', 'No result in time'],
	cancelled: ['', 'Cancelled: proves nothing'],
	escalated: ['bad', 'A person is asked'],
	proposed: ['good', 'Proposed: waits for a review'],
	observed: ['', 'Observed only'],
	rejected: ['', 'A person rejected it'],
	expired: ['bad', 'Nobody approved it in time'],
	superseded: ['', 'Somebody else re-ran it'],
	refused: ['bad', 'Refused by the provider'],
	gave_up: ['bad', 'Gave up after several tries'],
	unknown: ['bad', 'May or may not have been sent: a person is asked'],
};
/* The same, for one line of a row. */
const SHORT = {
	healed: 'healed',
	same_failure: 'failed again',
	different_failure: 'failed differently',
	timed_out: 'no result in time',
	cancelled: 'cancelled',
	escalated: 'asked',
	proposed: 'proposed',
	observed: 'only observed',
	rejected: 'rejected',
	expired: 'not approved in time',
	superseded: 'somebody else did',
	refused: 'refused',
	gave_up: 'gave up',
	unknown: 'outcome unclear',
};
const ACRONYMS = { oom: 'out of memory', dns: 'DNS', tls: 'TLS', scm: 'source control' };

function words(name) {
	const text = String(name || '').split('_').map((w) => ACRONYMS[w] || w).join(' ');
	return text.charAt(0).toUpperCase() + text.slice(1);
}

function result(name) {
	return RESULTS[name] || ['', words(name)];
}

function strategy(name) {
	return STRATEGIES[name] || words(name);
}

/* What should be text, or a list of texts, and may be anything. */
function text(value) {
	return typeof value === 'string' ? value : '';
}

function texts(value) {
	return Array.isArray(value) ? value.filter((t) => typeof t === 'string' && t) : [];
}

/* --- a stranger's text --------------------------------------------------------- */

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

function clean(value) {
	return String(value === undefined || value === null ? '' : value)
		.replace(HIDDEN, (c) => '‹' + c.charCodeAt(0).toString(16).padStart(4, '0') + '›');
}

/* Elements: make('li', 'class', child, child...); a child is a node or text. */
function make(tag, cls, ...children) {
	const node = document.createElement(tag);
	if (cls)
		node.className = cls;
	for (const child of children) {
		if (child === null || child === undefined || child === '')
			continue;
		node.append(child instanceof Node ? child : document.createTextNode(clean(child)));
	}
	return node;
}

function stranger(tag, cls, text) {
	return make(tag, (cls ? cls + ' ' : '') + 't', text);
}

function icon(path) {
	const ns = 'http://www.w3.org/2000/svg';
	const svg = document.createElementNS(ns, 'svg');
	const p = document.createElementNS(ns, 'path');
	svg.setAttribute('viewBox', '0 0 24 24');
	svg.setAttribute('aria-hidden', 'true');
	p.setAttribute('d', path);
	svg.append(p);
	return svg;
}

function safeUrl(text) {
	try {
		const url = new URL(text);
		return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : null;
	} catch {
		return null;
	}
}

/* --- time ------------------------------------------------------------------------ */

let skew = 0; /* the guard's clock minus ours */

function ago(ms) {
	const s = Math.max(0, Math.round((Date.now() + skew - ms) / 1000));
	if (s < 60)
		return s + ' s';
	if (s < 3600)
		return Math.floor(s / 60) + ' min';
	if (s < 86400)
		return Math.floor(s / 3600) + ' h';
	return Math.floor(s / 86400) + ' d';
}

function span(ms) {
	if (ms < 1000)
		return Math.max(0, Math.round(ms)) + ' ms';
	if (ms < 60000)
		return (ms / 1000).toFixed(1) + ' s';
	return Math.floor(ms / 60000) + ' min ' + Math.round((ms % 60000) / 1000) + ' s';
}

function time(ms, text) {
	const t = make('time', '', text === undefined ? ago(ms) : text);
	const date = new Date(ms);
	if (!Number.isNaN(date.getTime())) {
		t.dateTime = date.toISOString();
		t.title = date.toLocaleString();
	}
	if (text === undefined)
		t.dataset.at = ms;
	return t;
}

/* --- state of the page -------------------------------------------------------------- */

const runs = new Map(); /* ref -> run */
const rows = new Map(); /* "list ref" -> row */
const open = new Set(); /* keys of rows that are open */
let status = null;
let loaded = false;
let group = 'all';
let allNeeds = false;
let connected = null; /* null: not yet */
let lostAt = 0;
let tokenGiven = '';

async function get(path) {
	const answer = await fetch(path, { headers: { Accept: 'application/json' }, cache: 'no-store' });
	if (!answer.ok)
		throw new Error(path + ': ' + answer.status);
	return answer.json();
}

function take(run) {
	if (run && typeof run.ref === 'string')
		runs.set(run.ref, run);
}

function forgetOld() {
	if (runs.size <= RUNS_KEPT)
		return;
	const old = [...runs.values()].filter((r) => r.state !== 'needs_you')
		.sort((a, b) => (a.updated_at_ms || 0) - (b.updated_at_ms || 0));
	for (const run of old.slice(0, runs.size - RUNS_KEPT))
		runs.delete(run.ref);
}

/* --- one row --------------------------------------------------------------------------- */

function chip(state) {
	const s = STATES[state] || { name: words(state), icon: STATES.ended.icon };
	return make('span', 'chip ' + (STATES[state] ? state : ''), icon(s.icon), s.name);
}

function sure(confidence) {
	const track = make('span', 'sure');
	const part = make('i');
	part.style.width = Math.round(100 * Math.min(1, Math.max(0, confidence))) + '%';
	track.append(part);
	track.setAttribute('aria-hidden', 'true');
	return track;
}

function causeCell(run) {
	const f = run.finding;
	const cell = make('span', 'cell');
	if (!f) {
		cell.append(make('span', 'line sub', run.state === 'diagnosing' ? 'Reading the log…' : ''));
		return cell;
	}
	cell.append(stranger('span', 'two main-line', text(f.title) || (f.category === 'unknown' ? 'The cause is not known' : words(f.category))));
	const sub = make('span', 'line sub');
	if (typeof f.confidence === 'number' && f.category !== 'unknown')
		sub.append(sure(f.confidence), Math.round(100 * f.confidence) + ' % · ');
	sub.append(clean(text(f.category_title) || words(f.category) + (f.subcategory ? ', ' + words(f.subcategory) : '')));
	cell.append(sub);
	return cell;
}

function planCell(run) {
	const p = run.plan;
	const cell = make('span', 'cell');
	if (!p)
		return cell;
	const would = p.mode === 'observe' ? 'Would: ' : p.state === 'suggested' ? 'Suggests: ' : '';
	cell.append(make('span', 'two main-line', would + strategy(p.strategy).replace(/^./, (c) => (would ? c.toLowerCase() : c))));
	let then = '';
	if (p.state === 'done')
		then = SHORT[p.result] || words(p.result);
	else if (p.state === 'suggested')
		then = 'waits for your answer';
	else if (p.state === 'awaiting')
		then = 'sent, waiting';
	else if (p.state === 'sent')
		then = 'sending';
	else if (status && status.stop && status.stop.stopped)
		then = 'held by the stop switch';
	else
		then = 'planned';
	if (p.result === 'healed' && run.first_seen_ms && p.done_at_ms > run.first_seen_ms)
		then += ' after ' + span(p.done_at_ms - run.first_seen_ms);
	cell.append(make('span', 'line sub', '→ ' + then));
	return cell;
}

function askLine(run) {
	const f = run.finding || {};
	const p = run.plan || {};
	const ask = make('span', 'ask');
	const why = p.result && p.result !== 'escalated' && p.result !== 'observed' && p.detail ? p.detail : p.reason;
	const line = make('span', 'line');
	line.append(make('b', '', 'Why you: '),
		stranger('span', '', text(why).replace(/^./, (c) => c.toUpperCase()) || result(p.result)[1]));
	ask.append(line);
	if (texts(f.suggestions).length)
		ask.append(make('span', 'line', make('b', '', 'Try: '), stranger('span', '', texts(f.suggestions)[0])));
	return ask;
}

function fillRow(row, run) {
	const where = make('span', 'cell',
		stranger('span', 'line main-line', run.repo || run.ref),
		make('span', 'line sub', stranger('span', '', run.pipeline || ''),
			run.attempt > 1 && run.attempt_text ? ' · ' + run.attempt_text : '',
			run.branch ? ' · ' : '', stranger('span', '', run.branch || '')));
	const age = make('span', 'age');
	if (run.updated_at_ms)
		age.append(time(run.updated_at_ms));
	row.button.replaceChildren(make('span', 'cell', chip(run.state)), where, causeCell(run),
		row.list === 'needs' ? make('span', 'cell', age) : planCell(run));
	row.button.append(row.list === 'needs' ? askLine(run) : age);
}

/* --- details --------------------------------------------------------------------------- */

function titled(title, node) {
	return [make('h3', '', title), node];
}

function evidence(lines) {
	const list = make('ol', 'evidence mono');
	list.tabIndex = 0;
	list.setAttribute('aria-label', 'Lines of the log');
	for (const line of lines)
		list.append(make('li', '', make('span', 'at', String(line.line)), stranger('span', 'text', line.text)));
	return list;
}

function bullets(texts, most) {
	const list = make('ul', 'bullets');
	for (const text of texts.slice(0, most))
		list.append(stranger('li', '', text));
	if (texts.length > most)
		list.append(make('li', 'muted', texts.length - most + ' more'));
	return list;
}

function step(cls, text, at, detail) {
	const li = make('li', cls, make('span', '', text));
	if (at)
		li.append(time(at, new Date(at).toLocaleTimeString()));
	if (detail)
		li.append(make('br'), stranger('span', 'muted', detail));
	return li;
}

function outLink(href, text) {
	const link = make('a', '', text);
	link.href = href;
	link.target = '_blank';
	link.rel = 'noreferrer noopener';
	return link;
}

function button(text, cls, act) {
	const b = make('button', 'button ' + cls, text);
	b.type = 'button';
	b.addEventListener('click', act);
	return b;
}

/* A plan that waits for somebody's yes or no. */
function answerStep(plan) {
	const li = step('bad', 'Suggested: waits for your answer');
	li.append(make('br'),
		button('Approve', 'primary', () => askAnswer('approve', plan)), ' ',
		button('Reject', '', () => askAnswer('reject', plan)));
	return li;
}

function planSteps(list, plan) {
	const observe = plan.mode === 'observe';
	const again = plan.attempt > 1 && plan.attempt_text ? words(plan.attempt_text) + ' failed. ' : '';
	list.append(step('', again + (observe ? 'Would: ' : 'Plan: ') + strategy(plan.strategy), plan.created_at_ms, plan.reason));
	if (plan.sent_at_ms && plan.strategy !== 'escalate')
		list.append(step('busy', 'Sent to the provider' + (plan.sends > 1 ? ' (' + plan.sends + ' times)' : ''), plan.sent_at_ms));
	if (plan.state === 'done') {
		const [cls, said] = result(plan.result);
		const took = plan.result === 'healed' && plan.created_at_ms ? ' after ' + span(plan.done_at_ms - plan.created_at_ms) : '';
		const li = step(cls, said + took, plan.done_at_ms, plan.detail === plan.reason ? '' : plan.detail);
		const href = safeUrl(plan.proposal);
		if (href)
			li.append(make('br'), outLink(href, 'Open the proposal'),
				text(plan.proposal_state) ? ' (' + text(plan.proposal_state) + ')' : '');
		list.append(li);
	} else if (plan.state === 'suggested') {
		list.append(answerStep(plan));
	} else {
		list.append(step('busy', plan.state === 'awaiting' ? 'Waiting for the new attempt' : words(plan.state)));
	}
}

function timeline(run, plans) {
	const list = make('ol', 'timeline');
	if (run.first_seen_ms)
		list.append(step('', 'First seen', run.first_seen_ms));
	for (const plan of plans)
		planSteps(list, plan);
	if (plans.length && ['needs_you', 'healed', 'observed'].includes(run.state))
		return list;
	list.append(step(run.state === 'needs_you' ? 'bad' : run.state === 'healed' || run.state === 'passed' ? 'good' : 'busy',
		'Now: ' + (STATES[run.state] ? STATES[run.state].name.toLowerCase() : words(run.state).toLowerCase()) +
		(run.attempt_text ? ', ' + run.attempt_text : ''), run.updated_at_ms));
	return list;
}

function facts(pairs) {
	const list = make('dl', 'facts');
	for (const [name, value, cls] of pairs)
		if (value !== undefined && value !== null && value !== '')
			list.append(make('div', '', make('dt', '', name),
				value instanceof Node ? make('dd', cls || '', value) : stranger('dd', cls || '', value)));
	return list;
}

function diagnosis(run) {
	const f = run.finding;
	const part = make('div');
	if (!f) {
		part.append(make('p', 'muted', run.failed ? 'The log is being read.' : 'Nothing failed here, so nothing was diagnosed.'));
		return part;
	}
	const lines = Array.isArray(f.evidence) ? f.evidence.filter((l) => l && text(l.text)) : [];
	const others = Array.isArray(f.alternatives) ? f.alternatives.filter((a) => a && text(a.category)) : [];
	if (lines.length)
		part.append(...titled('Evidence' + (text(f.job) ? ' in the log of ' + f.job : ''), evidence(lines)));
	else
		part.append(make('p', 'muted', 'There is no line that proves a cause.'));
	if (texts(f.suggestions).length)
		part.append(...titled('What helps', bullets(texts(f.suggestions), 4)));
	if (texts(f.failed_tests).length)
		part.append(...titled('Failed tests', bullets(texts(f.failed_tests), 10)));
	if (others.length)
		part.append(...titled('It could also be', bullets(others.map((a) =>
			words(a.category) + ', ' + Math.round(100 * (Number(a.confidence) || 0)) + ' %'), 3)));
	if (run.finding_attempt && run.attempt > run.finding_attempt)
		part.append(make('p', 'muted', 'This is what ' + (run.finding_attempt_text || 'an earlier attempt') + ' failed of.'));
	return part;
}

function history(run, plans) {
	const part = make('div');
	const f = run.finding || {};
	const href = safeUrl(run.url);
	part.append(...titled('What happened', timeline(run, plans)));
	let link = null;
	if (href)
		link = outLink(href, 'Open the run');
	part.append(...titled('Facts', facts([
		['Page', link],
		['Started by', [run.trigger, run.actor].filter(Boolean).join(', ')],
		['Commit', run.sha ? run.sha.slice(0, 10) : ''],
		['From fork', run.head_repo && run.head_repo !== run.repo ? run.head_repo : ''],
		['Conclusion', run.conclusion],
		['Rule', f.rule],
		['Fingerprint', f.fingerprint],
		['Trying again', typeof f.transient !== 'boolean' ? '' : f.transient ? 'can help' : 'does not help'],
		['Reference', run.ref],
	])));
	return part;
}

async function fillDetails(row) {
	const run = runs.get(row.ref);
	if (!run)
		return;
	const show = (plans) => row.details.replaceChildren(diagnosis(run), history(run, plans));
	if (!row.details.firstChild)
		show(run.plan ? [Object.assign({ attempt: run.finding_attempt, attempt_text: run.finding_attempt_text }, run.plan)] : []);
	try {
		const full = await get('/api/v1/runs/' + encodeURIComponent(row.ref));
		if (open.has(row.key) && runs.get(row.ref) === run)
			show(Array.isArray(full.plans) ? full.plans : []);
	} catch {
		/* The short form stays. */
	}
}

function toggle(row, wanted) {
	row.button.setAttribute('aria-expanded', String(wanted));
	row.details.hidden = !wanted;
	if (wanted) {
		open.add(row.key);
		fillDetails(row);
	} else {
		open.delete(row.key);
		row.details.replaceChildren();
	}
}

/* --- lists ------------------------------------------------------------------------------- */

let rowNumber = 0;

function makeRow(list, ref) {
	const id = 'details-' + ++rowNumber;
	const row = { key: list + ' ' + ref, list, ref, item: make('li'), button: make('button', 'row'), details: make('div', 'details'), shown: null };
	row.button.type = 'button';
	row.button.setAttribute('aria-expanded', 'false');
	row.button.setAttribute('aria-controls', id);
	row.details.id = id;
	row.details.hidden = true;
	row.button.addEventListener('click', () => toggle(row, row.details.hidden));
	row.item.append(row.button, row.details);
	rows.set(row.key, row);
	return row;
}

function showList(list, node, wanted) {
	const focus = document.activeElement;
	const keep = new Set();
	let at = node.firstChild;
	for (const run of wanted) {
		const key = list + ' ' + run.ref;
		const row = rows.get(key) || makeRow(list, run.ref);
		const version = JSON.stringify(run);
		const held = Boolean(status && status.stop.stopped);
		keep.add(key);
		if (row.held !== held) {
			row.held = held;
			fillRow(row, run);
		}
		if (row.shown !== version) {
			fillRow(row, run);
			if (row.shown !== null || (loaded && node.childElementCount)) {
				row.item.classList.remove('fresh');
				void row.item.offsetWidth;
				row.item.classList.add('fresh');
			}
			row.shown = version;
			if (open.has(key))
				fillDetails(row);
		}
		if (row.item === at)
			at = at.nextSibling;
		else
			node.insertBefore(row.item, at);
	}
	for (const [key, row] of rows) {
		if (row.list !== list || keep.has(key))
			continue;
		row.item.remove();
		rows.delete(key);
		open.delete(key);
	}
	if (focus && focus !== document.activeElement && focus.isConnected)
		focus.focus({ preventScroll: true });
}

function matches(run, text) {
	const f = run.finding || {};
	return [run.repo, run.pipeline, run.branch, run.ref, run.actor, f.title, f.category, f.subcategory, f.rule,
		run.state.replace('_', ' ')].some((s) => s && String(s).toLowerCase().includes(text));
}

function render() {
	const wanted = $('filter').value.trim().toLowerCase();
	const states = GROUPS.find((g) => g[0] === group)[2];
	/* By when they were first seen: rows do not jump while one reads. */
	const all = [...runs.values()].sort((a, b) => (b.first_seen_ms || 0) - (a.first_seen_ms || 0) || (a.ref < b.ref ? -1 : 1));
	const needs = all.filter((r) => r.state === 'needs_you' && (!wanted || matches(r, wanted)));
	const shown = all.filter((r) => (!states || states.includes(r.state)) && (!wanted || matches(r, wanted))).slice(0, RUNS_SHOWN);

	showList('needs', $('needs-list'), needs.slice(0, allNeeds ? NEEDS_MOST : NEEDS_FIRST));
	$('needs-all').hidden = needs.length <= NEEDS_FIRST;
	$('needs-all').textContent = allNeeds ? 'Show fewer' : 'Show all ' + Math.min(needs.length, NEEDS_MOST);
	$('needs-all').setAttribute('aria-expanded', String(allNeeds));
	$('needs').hidden = !needs.length || group === 'needs_you';
	showList('list', $('list'), shown);
	$('empty').hidden = !loaded || runs.size > 0;
	$('none').hidden = !loaded || !runs.size || shown.length > 0;
	$('none').textContent = wanted ? 'No run matches the filter.' : 'No runs in this state.';
	for (const button of $('states').children)
		button.setAttribute('aria-pressed', String(button.dataset.group === group));
}

let renderSoon = 0;

function renderLater() {
	if (!renderSoon)
		renderSoon = requestAnimationFrame(() => {
			renderSoon = 0;
			render();
		});
}

/* --- status -------------------------------------------------------------------------------- */

function mark(node, cls, name, why) {
	const key = cls + name + why;
	if (node.dataset.key === key)
		return;
	node.dataset.key = key;
	node.className = 'mark ' + cls;
	node.replaceChildren(make('span', '', name));
	if (why)
		node.append(stranger('span', 'why', why));
	node.title = clean(why || '');
}

function number(n) {
	return typeof n === 'number' ? n.toLocaleString() : '–';
}

function counter(id, value, note, cls) {
	$('n-' + id).textContent = value;
	$('n-' + id).className = cls || '';
	$('n-' + id + '-note').textContent = note;
}

function showCounters(s) {
	const out = s.today.outcomes || {};
	const rate = s.today.heal_success_rate;
	const tried = ['healed', 'same_failure', 'different_failure', 'timed_out'].reduce((n, k) => n + (out[k] || 0), 0);
	const saved = (s.today.value || {}).person_minutes_saved;
	counter('healed', number(out.healed), saved ? 'saved people ' + number(saved) + ' min' : 'since 00:00 UTC', out.healed ? 'good' : '');
	counter('needs', number(s.runs.needs_you), s.runs.needs_you ? 'in the last 24 hours' : 'nothing to do', s.runs.needs_you ? 'bad' : '');
	counter('flight', number(s.runs.healing), number(s.runs.active) + (s.runs.active === 1 ? ' run active' : ' runs active'));
	counter('rate', typeof rate === 'number' ? Math.round(100 * rate) + ' %' : '–', tried ? out.healed + ' of ' + tried + ' today' : 'none ended today');
	counter('lag', number(s.lag), number(s.pending) + ' being read, ' + number(s.due) + ' due', s.lag > 1000 ? 'bad' : '');
}

function showMarks(s) {
	const alive = s.dispatchers.alive;
	if (s.mode === 'act')
		mark($('mode'), 'busy', 'Acting', s.mode_why);
	else if (s.mode === 'observe')
		mark($('mode'), 'watch', 'Observing', s.mode_why);
	else
		mark($('mode'), '', 'Mode unknown', s.mode_why);
	if (!s.redis.connected)
		mark($('health'), 'bad', 'Redis is away', s.redis.problem);
	else if (alive === 0)
		mark($('health'), 'bad', 'No dispatcher', 'nothing reads the events');
	else
		mark($('health'), 'good', 'Healthy', '');
	$('stop').hidden = false;
	$('stop').textContent = s.stop.stopped ? 'Let it act again' : 'Stop acting';
}

const bannerTexts = new Map();

function banner(id, cls, text) {
	if (bannerTexts.get(id) === text)
		return;
	const old = $('banner-' + id);
	if (old)
		old.remove();
	bannerTexts.set(id, text);
	if (!text)
		return;
	const node = stranger('div', 'banner ' + cls, text);
	node.id = 'banner-' + id;
	$('banners').append(node);
}

function showBanners(s) {
	banner('stop', '', s.stop.stopped ? 'Stop switch is on: nothing acts. ' + (s.stop.reason ? 'Reason: ' + s.stop.reason : '') : '');
	banner('redis', '', s.redis.connected ? '' : 'Redis does not answer' + (s.redis.problem ? ': ' + s.redis.problem : '') +
		'. Webhooks are taken and wait on disk; nothing is diagnosed or healed meanwhile. What you see is from before.');
	banner('dispatcher', '', s.redis.connected && s.dispatchers.alive === 0 && s.lag > 0 ?
		'No dispatcher is running: ' + s.lag + ' events wait to be read.' : '');
}

function showIncidents(s) {
	const all = (s.incidents || []).slice(0, 3).map((i) => i.subject +
		(i.repositories ? ' (' + i.repositories + ' repositories)' : '') + (i.reason ? ', ' + i.reason : '') +
		(i.state === 'releasing' ? ': works again, held runs go bit by bit' : ': held, one run is tried now and then'));
	const more = s.incident_open > all.length ? ' And ' + (s.incident_open - all.length) + ' more.' : '';
	banner('incident', '', all.length ? 'Incident: ' + all.join('. ') + '.' + more : '');
}

function showProviders(s) {
	const down = (s.providers || []).filter((p) => p.breaker !== 'closed').map((p) => p.host);
	const limited = (s.providers || []).filter((p) => p.limited_until > s.now_ms).map((p) => p.host);
	banner('down', '', down.length ? down.join(', ') + (down.length > 1 ? ' do' : ' does') + ' not answer: waiting, nothing is given up.' : '');
	banner('limited', '', limited.length ? 'Rate limit of ' + limited.join(', ') + ' is used up: waiting for it to end.' : '');
}

function showCauses(s) {
	const found = Object.entries(s.today.findings || {}).sort((a, b) => b[1] - a[1]).slice(0, 8);
	const most = found.length ? found[0][1] : 1;
	$('causes').replaceChildren(...found.map(([name, n]) => {
		const bar = make('i');
		bar.style.width = Math.max(4, Math.round((100 * n) / most)) + '%';
		return make('li', '', make('span', 'name', make('span', '', words(name)), make('span', 'muted', number(n))),
			make('span', 'track', bar));
	}));
	if (!found.length)
		$('causes').append(make('li', 'muted', 'Nothing failed yet.'));
	const ends = Object.entries(s.today.outcomes || {}).filter((e) => e[1] > 0).sort((a, b) => b[1] - a[1]);
	$('results').replaceChildren(...ends.map(([name, n]) =>
		make('li', '', make('span', 'name', make('span', '', words(name)), make('b', '', number(n))))));
	if (!ends.length)
		$('results').append(make('li', 'muted', 'None yet.'));
}

function showSystem(s) {
	const alive = s.dispatchers.alive;
	$('system').replaceChildren(...facts([
		['Dispatchers', alive === null ? '' : alive + ' alive', alive === 0 ? 'bad' : ''],
		['Redis', s.redis.connected ? 'connected' : 'away', s.redis.connected ? '' : 'bad'],
		['Events in stream', number(s.events)],
		['Work due', number(s.due) + (s.overdue ? ', ' + number(s.overdue) + ' now' : '')],
		['Dead letters', number(s.dead_letters), s.dead_letters ? 'bad' : ''],
		['Runs, 24 hours', number(s.runs.last_24h)],
		['Up', span(s.uptime_ms).replace(/ [\d.]+ s$/, '')],
	]).children);
	$('region').textContent = clean(s.region === 'local' ? '' : s.region);
	$('version').textContent = clean('Pipeline Guard ' + s.version + ', ' + s.role + ', region ' + s.region);
}

function showStatus(s) {
	if (!s || !s.today || !s.runs || !s.stop || !s.redis || !s.dispatchers)
		return;
	const held = status && status.stop.stopped !== s.stop.stopped;
	status = s;
	skew = s.now_ms - Date.now();
	showCounters(s);
	showMarks(s);
	showBanners(s);
	showIncidents(s);
	showProviders(s);
	showCauses(s);
	showSystem(s);
	if (held)
		renderLater();
	const n = s.runs.needs_you;
	document.title = (n ? '(' + n + ') ' : '') + 'Pipeline Guard';
	say();
}

/* What a screen reader hears: a summary when it changed, not every row. */
let saidAt = 0;
let said = '';

function say() {
	if (!status || Date.now() - saidAt < 15000)
		return;
	const out = status.today.outcomes;
	const text = number(status.runs.needs_you) + ' need you, ' + number(status.runs.healing) + ' in flight, ' + number(out.healed) + ' healed today.';
	if (text === said)
		return;
	saidAt = Date.now();
	said = text;
	$('said').textContent = text;
}

/* --- flaky tests ------------------------------------------------------------------------------- */

const FLAKES_SHOWN = 8, CLUSTERS_SHOWN = 6;
let slowAt = 0;

function showFlakes(answer) {
	const rows = answer.flakes.map((f) => {
		const name = make('span', '', clean(f.test));
		name.title = clean([f.repo, f.pipeline, f.test, f.owner].filter(Boolean).join('\n') +
			'\nfailed on ' + f.failed_commits + ' commits, passed on ' + f.healed_commits + ' of them when run again');
		return make('li', '', make('span', 'name', name, make('b', '', number(Math.round(f.lost_minutes)) + ' min')));
	});
	if (answer.tests > answer.flakes.length)
		rows.push(make('li', 'muted', number(answer.tests - answer.flakes.length) + ' more: pipeline-guard stats --flakes'));
	$('flakes').replaceChildren(...rows);
	$('flaky').hidden = !rows.length;
}

/* Those that came more than once, the most frequent of the ones seen last. */
function showClusters(answer) {
	const again = answer.clusters.filter((c) => c.count > 1).sort((a, b) => b.count - a.count).slice(0, CLUSTERS_SHOWN);
	$('clusters').replaceChildren(...again.map((c) => {
		const name = make('span', '', clean(text(c.title) || words(c.category)));
		name.title = clean([c.example, ...texts(c.repositories), c.more_repositories ? 'and more' : ''].filter(Boolean).join('\n'));
		return make('li', '', make('span', 'name', name, make('b', '', number(c.count) + ' times')));
	}));
	$('alike').hidden = !again.length;
}

/* They change by the hour: not with every event. */
async function fetchSlow() {
	if (Date.now() - slowAt < 60000)
		return;
	slowAt = Date.now();
	try {
		showFlakes(await get('/api/v1/flakes?limit=' + FLAKES_SHOWN));
		showClusters(await get('/api/v1/clusters?limit=50'));
	} catch {
		slowAt = 0;
	}
}

/* --- fetching ---------------------------------------------------------------------------------- */

const changed = new Set();
let fetching = false;

async function fetchAll() {
	const [newest, needs] = await Promise.all([
		get('/api/v1/runs?limit=' + RUNS_SHOWN),
		get('/api/v1/runs?state=needs_you&limit=50'),
	]);
	runs.clear();
	for (const run of newest.runs.concat(needs.runs))
		take(run);
	loaded = true;
	render();
	fetchSlow();
}

async function reload() {
	try {
		await fetchAll();
	} catch {
		setTimeout(reload, 3000);
	}
}

async function fetchChanged() {
	if (fetching || !changed.size)
		return;
	const refs = [...changed].slice(0, 40);
	fetching = true;
	refs.forEach((ref) => changed.delete(ref));
	try {
		const answer = await get('/api/v1/runs?refs=' + refs.map(encodeURIComponent).join(','));
		answer.runs.forEach(take);
		forgetOld();
		renderLater();
		fetchSlow();
	} catch {
		refs.forEach((ref) => changed.add(ref));
	}
	fetching = false;
	if (changed.size)
		setTimeout(fetchChanged, 250);
}

function setConnected(up) {
	if (connected === up)
		return;
	if (connected && !up)
		lostAt = Date.now();
	connected = up;
	mark($('live'), up ? 'good' : 'bad', up ? 'Live' : 'Not connected', '');
	banner('lost', '', up ? '' : 'The guard does not answer. ' +
		(lostAt ? 'What you see is from ' + new Date(lostAt).toLocaleTimeString() + '. ' : '') + 'Trying again…');
}

function listen() {
	const stream = new EventSource('/api/v1/stream');
	stream.onopen = () => setConnected(true);
	stream.onerror = () => {
		setConnected(false);
		if (stream.readyState === EventSource.CLOSED)
			setTimeout(listen, 5000);
	};
	stream.addEventListener('status', (e) => showStatus(JSON.parse(e.data)));
	stream.addEventListener('reset', reload);
	stream.addEventListener('runs', (e) => {
		for (const change of JSON.parse(e.data).changes)
			changed.add(change.run);
		setTimeout(fetchChanged, 50);
	});
	/* From here on every change is told, so what is read now cannot go stale. */
	stream.addEventListener('ready', reload);
}

/* --- what needs the admin token ------------------------------------------------------------------- */

const TOKEN_HINT = ' The admin token is in the file that “pipeline-guard start” named, unless you configured one.';

/* Title, text and button say what is about to happen; path is what is posted to. */
function askFor({ title, text, act, path, reason }) {
	$('dialog-title').textContent = title;
	$('dialog-text').textContent = text + TOKEN_HINT;
	$('dialog-reason-label').hidden = !reason;
	$('dialog-token').value = tokenGiven;
	$('dialog-error').textContent = '';
	$('dialog-do').textContent = act;
	$('dialog-do').dataset.path = path;
	$('dialog').showModal();
}

function askSwitch() {
	if (status && status.stop.stopped)
		askFor({
			title: 'Let it act again?', act: 'Let it act', path: '/api/v1/go',
			text: 'Plans that were held are carried out, within their limits.',
		});
	else
		askFor({
			title: 'Stop acting?', act: 'Stop acting', path: '/api/v1/stop', reason: true,
			text: 'Events are still recorded and diagnosed. Nothing is re-run until you release the switch.',
		});
}

function askAnswer(answer, plan) {
	const yes = answer === 'approve';
	askFor({
		title: yes ? 'Approve it?' : 'Reject it?', act: yes ? 'Approve' : 'Reject',
		path: '/api/v1/' + answer + '/' + encodeURI(plan.run),
		text: strategy(plan.strategy) + (yes ? ': carried out once, if the run is still as it was.' : ': never carried out for this attempt.'),
	});
}

async function post() {
	const path = $('dialog-do').dataset.path;
	const token = $('dialog-token').value;
	const reason = $('dialog-reason').value;
	try {
		const answer = await fetch(path, {
			method: 'POST',
			headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' },
			body: path.endsWith('stop') ? JSON.stringify({ reason }) : '{}',
		});
		const body = await answer.json();
		if (!answer.ok)
			throw new Error(answer.status === 401 ? 'That is not the admin token.' : body.error || answer.status);
		tokenGiven = token; /* for as long as this page is open */
		$('dialog').close();
	} catch (error) {
		$('dialog-error').textContent = clean(error.message);
	}
}

/* --- hands ------------------------------------------------------------------------------------------ */

function moveBetweenRows(e) {
	const buttons = [...document.querySelectorAll('.row')].filter((b) => b.offsetParent);
	const at = buttons.indexOf(document.activeElement);
	const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[e.key];
	if (at < 0 || to === undefined || to < 0 || to >= buttons.length)
		return;
	e.preventDefault();
	buttons[to].focus();
}

function onKey(e) {
	if (e.ctrlKey || e.metaKey || e.altKey || $('dialog').open)
		return;
	const typing = document.activeElement && document.activeElement.tagName === 'INPUT';
	if (e.key === '/' && !typing) {
		e.preventDefault();
		$('filter').focus();
	} else if (e.key === 'Escape' && typing) {
		$('filter').value = '';
		$('filter').blur();
		render();
	} else if (!typing) {
		moveBetweenRows(e);
	}
}

function themeNow() {
	return document.documentElement.dataset.theme ||
		(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
}

function setTheme(theme) {
	document.documentElement.dataset.theme = theme;
	try {
		localStorage.setItem('theme', theme);
	} catch {
		/* Not allowed: it holds until the page is closed. */
	}
}

function start() {
	for (const [name, title] of GROUPS) {
		const button = make('button', '', title);
		button.type = 'button';
		button.dataset.group = name;
		button.addEventListener('click', () => {
			group = name;
			render();
		});
		$('states').append(button);
	}
	$('hook').textContent = location.origin + '/webhooks/github';
	$('copy').addEventListener('click', async () => {
		try {
			await navigator.clipboard.writeText($('hook').textContent);
			$('copy').textContent = 'Copied';
		} catch {
			getSelection().selectAllChildren($('hook'));
		}
	});
	$('filter').addEventListener('input', renderLater);
	$('needs-all').addEventListener('click', () => {
		allNeeds = !allNeeds;
		render();
	});
	$('theme').addEventListener('click', () => setTheme(themeNow() === 'dark' ? 'light' : 'dark'));
	$('stop').addEventListener('click', askSwitch);
	$('dialog-cancel').addEventListener('click', () => $('dialog').close());
	$('dialog-do').addEventListener('click', post);
	$('dialog').addEventListener('keydown', (e) => {
		if (e.key === 'Enter' && e.target.tagName === 'INPUT')
			post();
	});
	document.addEventListener('keydown', onKey);
	setInterval(() => {
		for (const t of document.querySelectorAll('time[data-at]'))
			t.textContent = ago(Number(t.dataset.at));
	}, 5000);
	listen();
}

try {
	const theme = localStorage.getItem('theme');
	if (theme === 'dark' || theme === 'light')
		document.documentElement.dataset.theme = theme;
} catch {
	/* Not allowed: the system decides. */
}
start();
