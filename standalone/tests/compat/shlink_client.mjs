// Drives Tern with the npm package @shlinkio/shlink-js-sdk.
// Arguments: the directory of the package, fetch or node, the origin of Tern, an editor's token, a viewer's token.

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const [directory, kind, baseUrl, apiKey, viewerKey] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${directory}/dist/${name}.js`).href);
const { ShlinkApiClient } = await load('index');
const clients = {
  fetch: async () => new (await load('fetch')).FetchHttpClient(),
  node: async () => new (await load('node')).NodeHttpClient(),
};
const httpClient = await clients[kind]();
const client = new ShlinkApiClient(httpClient, { baseUrl, apiKey });
const slug = `slug-${kind}`;
const id = { shortCode: slug };

async function refused(call, type, status) {
  const error = await call().then(() => assert.fail(`${type} expected`), (error) => error);
  assert.equal(error.type, `https://shlink.io/api/error/${type}`, JSON.stringify(error));
  assert.equal(error.status, status);
  assert.equal(typeof error.detail, 'string');
  assert.equal(typeof error.title, 'string');
  return error;
}

// Create, find, list, edit.
const made = await client.createShortUrl({
  longUrl: 'https://www.example.com/s', customSlug: slug, title: 'T', tags: [`one-${kind}`, `two/x ${kind}`],
  validUntil: '2098-01-01T00:00:00+00:00', forwardQuery: true, findIfExists: true,
});
assert.equal(made.shortCode, slug);
assert.equal(made.shortUrl, `${baseUrl}/${slug}`);
assert.deepEqual(made.meta, { validSince: null, validUntil: '2098-01-01T00:00:00+00:00', maxVisits: null });
assert.deepEqual(await client.getShortUrl(id), made);
assert.deepEqual(await client.getShortUrl({ shortCode: slug, domain: new URL(baseUrl).host }), made);
const list = await client.listShortUrls({
  page: 1, itemsPerPage: 2, searchTerm: 'example.com/s', tags: [`one-${kind}`, `two/x ${kind}`], tagsMode: 'all',
  startDate: '2024-01-01T00:00:00+02:00', excludeMaxVisitsReached: true, excludePastValidUntil: true,
  orderBy: { field: 'title', dir: 'ASC' },
});
assert.deepEqual(list, {
  data: [made],
  pagination: { currentPage: 1, pagesCount: 1, itemsPerPage: 2, itemsInCurrentPage: 1, totalItems: 1 },
});
assert.ok((await client.listShortUrls()).data.some(({ shortCode }) => shortCode === slug));
const edited = await client.updateShortUrl(id, { title: null, maxVisits: null, forwardQuery: false });
assert.deepEqual([edited.title, edited.forwardQuery, edited.tags], [null, false, made.tags]);
assert.deepEqual(await client.updateShortUrl(id, {}), edited);
assert.deepEqual(await client.getShortUrlRedirectRules(id), { defaultLongUrl: made.longUrl, redirectRules: [] });

// A visit of a person and one of a bot are counted within the two seconds of the contract.
const follow = (agent) => fetch(made.shortUrl, { redirect: 'manual', headers: { 'User-Agent': agent, Referer: 'https://news.example/' } });
assert.equal((await follow('Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0')).status, 302);
assert.equal((await follow('Googlebot/2.1')).status, 302);
const until = Date.now() + 20_000;
let visits;
do {
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  visits = await client.getShortUrlVisits(id, { page: 1, itemsPerPage: 20, startDate: '2024-01-01T00:00:00+02:00' });
} while (visits.data.length < 2 && Date.now() < until);
assert.equal(visits.pagination.totalItems, 2);
const people = await client.getShortUrlVisits(id, { excludeBots: true });
assert.equal(people.data.length, 1);
assert.ok(people.data[0].userAgent.includes('Firefox') && !people.data[0].potentialBot, JSON.stringify(people.data));
assert.equal((await client.getShortUrl(id)).visitsSummary.total, 2);
const total = (pages) => pages.pagination.totalItems;
assert.equal(total(await client.getTagVisits(`two/x ${kind}`)), 2);
assert.equal(total(await client.getTagVisits(`one-${kind}`, { excludeBots: true })), 1);
assert.ok(total(await client.getDomainVisits('DEFAULT')) >= 2);
assert.ok(total(await client.getNonOrphanVisits()) >= 2);
assert.equal(total(await client.getOrphanVisits({ type: 'invalid_short_url' })), 0);
const overview = await client.getVisitsOverview();
assert.ok(overview.nonOrphanVisits.total >= 2 && overview.orphanVisits.total === 0, JSON.stringify(overview));
assert.deepEqual(await client.deleteOrphanVisits(), { deletedVisits: 0 });

// Tags.
const tags = await client.listTags();
assert.ok(tags.data.includes(`one-${kind}`), JSON.stringify(tags));
const counted = (await client.tagsStats()).data.find(({ tag }) => tag === `one-${kind}`);
assert.deepEqual(counted.visitsSummary, { total: 2, nonBots: 1, bots: 1 });
assert.equal(counted.shortUrlsCount, 1);
await client.editTag({ oldName: `one-${kind}`, newName: `uno-${kind}` });
await refused(() => client.editTag({ oldName: `one-${kind}`, newName: 'x' }), 'tag-not-found', 404);
await refused(() => client.editTag({ oldName: `uno-${kind}`, newName: `two/x ${kind}` }), 'tag-conflict', 409);
await client.deleteTags([`uno-${kind}`, `two/x ${kind}`]);
assert.deepEqual((await client.getShortUrl(id)).tags, []);

// The rest, and failures.
assert.equal((await client.listDomains()).data[0].domain, new URL(baseUrl).host);
assert.deepEqual(await client.health(), { status: 'pass', version: '4.0.0', links: {} });
await refused(() => client.mercureInfo(), 'mercure-not-configured', 501);
await refused(() => client.setShortUrlRedirectRules(id, { redirectRules: [] }), 'not-implemented', 501);
await refused(() => client.deleteShortUrlVisits(id), 'not-implemented', 501);
await refused(() => client.editDomainRedirects({ domain: 'DEFAULT', baseUrlRedirect: null }), 'not-implemented', 501);
const unlimited = await refused(() => client.createShortUrl({ longUrl: 'https://a.example/', maxVisits: -1 }), 'invalid-data', 400);
assert.deepEqual(unlimited.invalidElements, ['maxVisits']);
// A limit of one visit holds, and the list without used-up short URLs forgets its short URL.
const once = await client.createShortUrl({ longUrl: 'https://once.example/', maxVisits: 1 });
assert.equal(once.meta.maxVisits, 1);
const visit = () => fetch(once.shortUrl, { redirect: 'manual', headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0' } });
assert.equal((await visit()).status, 302);
assert.equal((await visit()).status, 410);
const left = await client.listShortUrls({ searchTerm: 'once.example', excludeMaxVisitsReached: true });
assert.ok(left.data.every(({ shortCode }) => shortCode !== once.shortCode), JSON.stringify(left.data));
await client.deleteShortUrl({ shortCode: once.shortCode });
await refused(() => client.createShortUrl({ longUrl: 'https://a.example/', customSlug: slug }), 'non-unique-slug', 400);
await refused(() => client.createShortUrl({ longUrl: 'nonsense' }), 'invalid-data', 400);
await refused(() => client.createShortUrl({ longUrl: `https://a.example/${'x'.repeat(2 << 20)}` }), 'payload-too-large', 413);
await refused(() => client.getShortUrl({ shortCode: 'nope' }), 'short-url-not-found', 404);
await refused(() => client.getShortUrl({ shortCode: slug, domain: 'other.example' }), 'short-url-not-found', 404);
await refused(() => client.getShortUrl({ shortCode: 'a/b' }), 'not-found', 404);
await refused(() => new ShlinkApiClient(httpClient, { baseUrl, apiKey: 'wrong' }).listTags(), 'invalid-api-key', 401);
const viewer = new ShlinkApiClient(httpClient, { baseUrl, apiKey: viewerKey });
assert.equal((await viewer.getShortUrl(id)).shortCode, slug);
await refused(() => viewer.deleteShortUrl(id), 'forbidden', 403);
await client.deleteShortUrl(id);
await refused(() => client.getShortUrl(id), 'short-url-not-found', 404);

// The preflight of a browser, whose headers node's fetch may set.
const preflight = await fetch(`${baseUrl}/rest/v3/short-urls/${slug}`, {
  method: 'OPTIONS',
  headers: {
    Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH',
    'Access-Control-Request-Headers': 'content-type,x-api-key',
  },
});
assert.ok(preflight.ok);
assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
assert.ok(preflight.headers.get('access-control-allow-methods').includes('PATCH'));
assert.ok(preflight.headers.get('access-control-allow-headers').includes('x-api-key'));
console.log('done');
