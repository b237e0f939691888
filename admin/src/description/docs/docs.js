// Shows the description of the API at /openapi.json, and sends its requests on demand.
// Each text is added to the page as a text node, so no text of the description or of an answer is read as markup.

'use strict';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** The token that is sent with each request; it is stored in this page alone. */
let token = '';

let description;

main();

async function main() {
  const content = document.getElementById('content');
  try {
    const response = await fetch('/openapi.json');
    if (!response.ok) throw new Error(`the answer has the status ${response.status}`);
    description = await response.json();
  } catch (error) {
    document.getElementById('waiting').textContent = `The description could not be read: ${error.message}.`;
    return;
  }
  const groups = grouped();
  document.getElementById('navigation').replaceChildren(...navigation(groups));
  content.replaceChildren(introduction(), ...groups.map(groupSection), schemasSection());
  // The browser looked for the element of the address before it existed.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

/** Creates an element with attributes and children; a child is a node or a text, and null is omitted. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

/** Creates nodes for a text in which `words` between backticks are code. */
function prose(text, tag = 'p') {
  const parts = (text ?? '').split('`').map((part, i) => (i % 2 ? el('code', {}, part) : part));
  return text ? el(tag, {}, ...parts) : null;
}

function paragraphs(text) {
  return (text ?? '').split('\n\n').map((paragraph) => prose(paragraph));
}

/** Resolves a reference, or the first of several forms, under the texts that stand beside it. */
function resolve(value) {
  if (value?.oneOf) {
    const { oneOf, ...beside } = value;
    return { ...resolve(oneOf.find(({ type }) => type !== 'null')), ...beside };
  }
  if (!value?.$ref) return value;
  const path = value.$ref.slice(2).split('/');
  const { $ref, ...beside } = value;
  return { ...resolve(path.reduce((place, key) => place[key], description)), ...beside };
}

/** Returns the operations of each tag, in the order of the tags in the description. */
function grouped() {
  const operations = Object.entries(description.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, ...item[method] })));
  return description.tags.map((tag) => ({ ...tag, operations: operations.filter(({ tags }) => tags.includes(tag.name)) }));
}

function navigation(groups) {
  const isWide = matchMedia('(min-width: 52rem)').matches;
  const lists = groups.map(({ name, operations }) => el('details', { open: isWide },
    el('summary', {}, name),
    el('ul', {}, operations.map(({ operationId, method, path }) =>
      el('li', {}, el('a', { href: `#${operationId}` }, badge(method), el('span', { class: 'path' }, path)))))));
  return [el('h1', {}, el('a', { href: '#' }, description.info.title)), ...lists, el('a', { href: '#schemas' }, 'schemas')];
}

function badge(method) {
  return el('span', { class: `method ${method}` }, method.toUpperCase());
}

function introduction() {
  const field = el('input', {
    type: 'password', autocomplete: 'off', spellcheck: 'false', id: 'token',
    oninput: (event) => { token = event.target.value.trim(); },
  });
  return el('header', {},
    el('h2', {}, `${description.info.title} ${description.info.version}`),
    paragraphs(description.info.description),
    el('p', {}, el('a', { href: '/openapi.json' }, '/openapi.json'), ` is this description in OpenAPI ${description.openapi}.`),
    el('form', { class: 'token', onsubmit: (event) => event.preventDefault() },
      el('label', { for: 'token' }, 'Bearer token, for the requests that you try out:'), field));
}

function groupSection({ name, description: about, operations }) {
  return el('section', { 'aria-labelledby': `tag-${name}` },
    el('h2', { id: `tag-${name}` }, name), prose(about), operations.map(operationArticle));
}

function operationArticle(operation) {
  const parameters = (operation.parameters ?? []).map(resolve);
  const body = operation.requestBody && resolve(operation.requestBody);
  return el('article', { id: operation.operationId, tabindex: '-1' },
    el('h3', {}, el('a', { href: `#${operation.operationId}` }, badge(operation.method), el('span', { class: 'path' }, operation.path))),
    prose(operation.summary), paragraphs(operation.description),
    parameters.length ? [el('h4', {}, 'Parameters'), fieldTable(parameters.map((parameter) => ({
      name: parameter.name, place: parameter.in, required: parameter.required,
      schema: parameter.schema, about: parameter.description,
    })))] : null,
    body ? [el('h4', {}, 'Body'), Object.entries(body.content).map(([type, media]) => contentBlock(type, media))] : null,
    el('h4', {}, 'Answers'), el('div', { class: 'answers' }, Object.entries(operation.responses).map(answerBlock)),
    tryOut(operation, parameters, body));
}

function contentBlock(type, media) {
  const schema = resolve(media.schema);
  const example = media.example ?? exampleOf(media.schema);
  return el('div', { class: 'content' },
    el('p', {}, el('code', {}, type), schema ? [', ', schemaName(media.schema)] : null),
    schema?.properties ? schemaTable(schema) : null,
    example === undefined ? null : el('pre', { tabindex: '0' }, asText(example)));
}

function answerBlock([status, reference]) {
  const response = resolve(reference);
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) => ({ name, ...resolve(header) }));
  return el('details', { class: `answer s${status[0]}` },
    el('summary', {}, el('strong', {}, status), ' ', prose(response.description, 'span')),
    headers.length ? fieldTable(headers.map(({ name, schema, description: about }) => ({ name, place: 'header', schema, about }))) : null,
    Object.entries(response.content ?? {}).map(([type, media]) => contentBlock(type, media)));
}

/** Creates a table with rows of name, type and meaning. */
function fieldTable(fields) {
  return el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Fields' }, el('table', {}, el('tbody', {}, fields.map(({ name, place, required, schema, about }) =>
    el('tr', {},
      el('th', { scope: 'row' }, el('code', {}, name), required ? el('span', { class: 'required' }, ' required') : null),
      el('td', {}, schemaName(schema), place && place !== 'header' ? el('span', { class: 'quiet' }, ` in ${place}`) : null),
      el('td', {}, prose(about ?? resolve(schema).description, 'span'), bounds(schema)))))));
}

function schemaTable(schema) {
  return fieldTable(Object.entries(schema.properties).map(([name, property]) => ({
    name, required: schema.required?.includes(name), schema: property, about: property.description,
  })));
}

/** Describes the type of a schema in a few words, with a link to its full description. */
function schemaName(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return el('a', { href: `#schema-${name}` }, name);
  }
  if (schema.oneOf) return el('span', {}, schema.oneOf.map((form, i) => [i ? ' or ' : null, schemaName(form)]));
  if (schema.type === 'array') return el('span', {}, 'array of ', schemaName(schema.items));
  return el('span', {}, [schema.type ?? 'anything'].flat().join(' or '));
}

/** Describes the constraints on a value beside its type. */
function bounds(schema) {
  const { minimum, maximum, minLength, maxLength, default: defaultValue, pattern, enum: values } = resolve(schema);
  const facts = [
    [minimum, 'at least ', ''], [maximum, 'at most ', ''],
    [minLength, 'at least ', minLength === 1 ? ' character' : ' characters'], [maxLength, 'at most ', ' characters'],
    [defaultValue, 'default ', ''], [pattern, 'matches ', ''], [values?.join(', '), 'one of ', ''],
  ].filter(([fact]) => fact !== undefined);
  if (!facts.length) return null;
  return el('span', { class: 'quiet' }, facts.map(([fact, before, after]) =>
    el('span', { class: 'fact' }, before, el('code', {}, asText(fact)), after)));
}

function schemasSection() {
  const articles = Object.entries(description.components.schemas).map(([name, schema]) => el('article', { id: `schema-${name}` },
    el('h3', {}, el('a', { href: `#schema-${name}` }, name)), paragraphs(schema.description),
    schema.properties ? schemaTable(schema) : fieldTable([{ name: 'value', schema, about: ' ' }])));
  return el('section', { 'aria-labelledby': 'schemas' }, el('h2', { id: 'schemas' }, 'schemas'), articles);
}

/** Creates a value of the schema from the examples of its parts. */
function exampleOf(reference) {
  const schema = resolve(reference);
  if (!schema) return undefined;
  if (schema.example !== undefined) return schema.example;
  if (schema.examples) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'array') return [exampleOf(schema.items)];
  if (schema.properties) return Object.fromEntries(Object.entries(schema.properties).map(([name, property]) => [name, exampleOf(property)]));
  if (schema.default !== undefined) return schema.default;
  if (schema.type === 'object') return {};
  return undefined;
}

function asText(value) {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/** Creates a form that sends the request and shows the answer. */
function tryOut(operation, parameters, body) {
  const [type, media] = Object.entries(body?.content ?? {})[0] ?? [];
  const isFile = type === 'multipart/form-data';
  const result = el('output', { class: 'result' });
  const inputs = parameters.map((parameter) => el('label', {}, el('code', {}, parameter.name),
    el('input', { name: parameter.name, required: parameter.required, placeholder: parameter.required ? String(exampleOf(parameter.schema) ?? '') : '' })));
  const bodyInput = !type ? null : isFile
    ? el('label', {}, el('code', {}, 'file'), el('input', { type: 'file', name: 'body', required: true }))
    : el('label', {}, el('code', {}, 'body'), el('textarea', { name: 'body', rows: '6', spellcheck: 'false' }, asText(exampleOf(media.schema))));
  const form = el('form', { onsubmit: send }, inputs, bodyInput,
    el('button', {}, 'Send'),
    operation.method === 'get' ? null : el('span', { class: 'quiet' }, ' This really changes something.'), result);
  return el('details', { class: 'try' }, el('summary', {}, 'Try it out'), form);

  async function send(event) {
    event.preventDefault();
    result.replaceChildren('…');
    const value = (name) => form.elements[name].value;
    let path = operation.path;
    const query = new URLSearchParams();
    for (const { name, in: place } of parameters) {
      if (place === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value(name)));
      else if (value(name) !== '') query.set(name, value(name));
    }
    const address = query.size ? `${path}?${query}` : path;
    const request = { method: operation.method.toUpperCase(), headers: {} };
    if (token) request.headers.Authorization = `Bearer ${token}`;
    if (isFile) {
      request.body = new FormData();
      request.body.append('file', form.elements.body.files[0]);
    } else if (type) {
      request.headers['Content-Type'] = type;
      request.body = value('body');
    }
    try {
      const response = await fetch(address, { ...request, redirect: 'manual' });
      if (response.type === 'opaqueredirect') {
        result.replaceChildren('It redirects. A browser does not show a page where to: ', el('a', { href: address }, 'follow it'), '.');
        return;
      }
      const headers = [...response.headers].map(([name, text]) => `${name}: ${text}`).join('\n');
      result.replaceChildren(
        el('p', {}, el('strong', {}, `${response.status} ${response.statusText}`), ' ', el('code', {}, `${request.method} ${address}`)),
        el('pre', { tabindex: '0' }, headers), el('pre', { tabindex: '0' }, pretty(await response.text())));
    } catch (error) {
      result.replaceChildren(`The request could not be sent: ${error.message}.`);
    }
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
