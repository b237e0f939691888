// The k6 scenario: what people and programs do with Tern, 500 of them at once by the end.
//
//   k6 run load_test.js
//   k6 run -e BASE_URL=http://host:8000 -e REDIRECT_URL=http://host:8080 -e TOKEN=tern_... load_test.js
//
// BASE_URL      the API; http://localhost:8000 unless given
// REDIRECT_URL  where short codes are followed; BASE_URL unless given
// TOKEN         a token with the role editor, where the API asks for one
// USERS         virtual users at the end of the ramp; 500 unless given
// DURATION      of the ramp, in seconds; 90 unless given
// PAUSE         how long each waits between two rounds, in seconds; 0 unless given
//
// Writes load-summary.html and load-summary.json. Nothing is loaded from elsewhere.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const API = __ENV.BASE_URL || 'http://localhost:8000';
const REDIRECTOR = __ENV.REDIRECT_URL || API;
const TOKEN = __ENV.TOKEN;
const USERS = Number(__ENV.USERS || 500);
const DURATION = Number(__ENV.DURATION || 90);
const PAUSE = Number(__ENV.PAUSE || 0);

// Each request of a round, by name, so that the summary tells them apart.
const STEPS = [
  'GET /health', 'GET /products', 'POST /users', 'GET /users', 'GET /users/<id>', 'POST /urls', 'GET /urls',
  'GET /urls?user_id=', 'GET /<short_code>', 'PUT /urls/<id>', 'GET /events',
];
const times = Object.fromEntries(STEPS.map((step, n) => [step, new Trend(`step_${n}`, true)]));

// What a step was answered with instead of what it expects, so that the summary names it. k6 keeps no figures by tag for
// the summary, so each pair is a counter of its own; status 0 is no answer.
const WRONG = ['0', '400', '401', '403', '404', '409', '410', '429', '500', '502', '503', '504', 'another status',
  'another target'];
const wrongs = Object.fromEntries(STEPS.map((step, n) => [
  step, Object.fromEntries(WRONG.map((answer, m) => [answer, new Counter(`wrong_${n}_${m}`)])),
]));
// Links that were not yet served by every redirector when the answer came.
const waits = new Counter('not_visible_at_once');

const third = `${Math.max(1, Math.round(DURATION / 3))}s`;

export const options = {
  stages: [
    { duration: third, target: Math.ceil(USERS / 5) },
    { duration: third, target: Math.ceil((USERS * 3) / 5) },
    { duration: third, target: USERS },
  ],
  thresholds: {
    http_req_failed: ['rate<0.05'],
    http_req_duration: ['p(95)<500'],
    checks: ['rate>0.95'],
  },
  summaryTrendStats: ['avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
  // Ids and codes make each URL another, and each would be a series of its own.
  systemTags: ['status', 'method', 'name', 'check'],
};

// A prefix that no other run has: a second run over the same database finds its names free.
export function setup() {
  return { run: `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}` };
}

function call(step, method, url, body, expected) {
  const headers = { 'Content-Type': 'application/json' };
  // The redirector needs none, and may be somebody else's.
  if (TOKEN && url.startsWith(`${API}/`) && expected !== 302) {
    headers.Authorization = `Bearer ${TOKEN}`;
  }
  const response = http.request(method, url, body && JSON.stringify(body), {
    headers, redirects: 0, tags: { name: step },
  });
  times[step].add(response.timings.duration);
  if (!check(response, { [`${step} is ${expected}`]: (answer) => answer.status === expected })) {
    (wrongs[step][response.status] || wrongs[step]['another status']).add(1);
  }
  return response;
}

// `Tern-Visible: 2/2` says that every redirector serves the link; with less, each does within a second.
function waitUntilServed(link) {
  const [confirmed, live] = (link.headers['Tern-Visible'] || '?').split('/');
  if (live === undefined || confirmed !== live) {
    waits.add(1);
    sleep(1);
  }
}

export default function ({ run }) {
  const name = `${run}_${__VU}_${__ITER}`;
  call('GET /health', 'GET', `${API}/health`, null, 200);
  call('GET /products', 'GET', `${API}/products`, null, 200);
  const created = call('POST /users', 'POST', `${API}/users`, { username: name, email: `${name}@mail.example` }, 201);
  call('GET /users', 'GET', `${API}/users?page=1&per_page=20`, null, 200);
  if (created.status === 201) {
    const user = created.json('id');
    call('GET /users/<id>', 'GET', `${API}/users/${user}`, null, 200);
    const target = `https://example.com/${name}`;
    const link = call('POST /urls', 'POST', `${API}/urls`, { user_id: user, original_url: target, title: name }, 201);
    call('GET /urls', 'GET', `${API}/urls?page=1&per_page=20`, null, 200);
    if (link.status === 201) {
      const { id, short_code } = link.json();
      call('GET /urls?user_id=', 'GET', `${API}/urls?user_id=${user}`, null, 200);
      waitUntilServed(link);
      const followed = call('GET /<short_code>', 'GET', `${REDIRECTOR}/${short_code}`, null, 302);
      const leads = check(followed, { 'the redirect leads to the target': (it) => it.headers.Location === target });
      if (!leads && followed.status === 302) {
        wrongs['GET /<short_code>']['another target'].add(1);
      }
      call('PUT /urls/<id>', 'PUT', `${API}/urls/${id}`, { title: `${name} again` }, 200);
    }
  }
  call('GET /events', 'GET', `${API}/events?page=1&per_page=20`, null, 200);
  if (PAUSE) {
    sleep(PAUSE);
  }
}

export function handleSummary(data) {
  const { http_reqs, http_req_duration, http_req_failed, checks } = data.metrics;
  const failed = Object.values(data.metrics).some((metric) => Object.values(metric.thresholds || {}).some((it) => !it.ok));
  const figures = [
    ['requests', http_reqs.values.count],
    ['requests a second', http_reqs.values.rate.toFixed(0)],
    ['failed', `${(http_req_failed.values.rate * 100).toFixed(3)} % (at most 5 %)`],
    ['checks passed', `${(checks.values.rate * 100).toFixed(3)} %`],
    ['p50', ms(http_req_duration.values.med)],
    ['p95', `${ms(http_req_duration.values['p(95)'])} (at most 500 ms)`],
    ['p99', ms(http_req_duration.values['p(99)'])],
    ['slowest', ms(http_req_duration.values.max)],
    ['not visible at once', (data.metrics.not_visible_at_once || NONE).values.count],
    ['verdict', failed ? 'a threshold was missed' : 'every threshold was met'],
  ];
  const steps = STEPS.map((step, n) => [step, data.metrics[`step_${n}`]]).filter(([, metric]) => metric)
    .map(([step, { values }]) => [step, ms(values.med), ms(values['p(95)']), ms(values['p(99)']), ms(values.max)]);
  const failures = STEPS.map((step, n) => {
    const counts = WRONG.map((answer, m) => [answer, (data.metrics[`wrong_${n}_${m}`] || NONE).values.count]);
    const all = counts.filter(([, count]) => count).map(([answer, count]) => `${count} x ${answer}`);
    return [step, all.join(', ')];
  }).filter(([, all]) => all);
  const named = failures.length ? failures.map(([step, all]) => `failed: ${step.padEnd(19)} ${all}`) : ['failed: no step'];
  return {
    stdout: `${[...figures.map(([name, value]) => `${name.padEnd(19)} ${value}`), ...named].join('\n')}\n`,
    'load-summary.json': JSON.stringify(data, null, 2),
    'load-summary.html': page(figures, steps, failures),
  };
}

// A counter that nothing was added to is absent.
const NONE = { values: { count: 0 } };

function ms(value) {
  return `${value.toFixed(1)} ms`;
}

function page(figures, steps, failures) {
  const row = (cells, tag = 'td') => `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Load test of Tern</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; margin: 1rem 0; }
  td, th { padding: .3rem .8rem; border-bottom: 1px solid #8886; text-align: right; }
  td:first-child, th:first-child { text-align: left; }
</style>
<h1>Load test of Tern</h1>
<p>${escaped(`${USERS} virtual users after ${DURATION} s, ${PAUSE} s between two rounds, on ${new Date().toISOString()}`)}</p>
<table>${figures.map((cells) => row(cells)).join('')}</table>
<h2>Each request</h2>
<table>${row(['request', 'p50', 'p95', 'p99', 'slowest'], 'th')}${steps.map((cells) => row(cells)).join('')}</table>
<h2>What failed</h2>
<table>${failures.map((cells) => row(cells)).join('') || row(['no step'])}</table>
</html>
`;
}

function escaped(text) {
  return String(text).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
