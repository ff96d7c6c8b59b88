// Print the addresses of code-server as JSON: {"http": [...], "sockets": [...], "cookies": {...}}, patterns as its
// application has them. It is the application itself, from the image's own files, that says them: no list of ours can be
// too short. Arguments are the words that it is started with. Its cookies are hashes of the password: "user" is one, and
// "stranger" one of another password, both quick to compare where its own take a tenth of a second.
"use strict";
const load = (name) => require(`/opt/code-server/${name}`);
const { prototype } = load("node_modules/router");
const known = new Map(); // router -> [path, router below it or null]

function note(router, path, below) {
  if (!known.has(router)) known.set(router, []);
  for (const one of [path].flat()) known.get(router).push([String(one), below]);
}

const { use, route } = prototype;
prototype.route = function (path) {
  note(this, path, null);
  return route.call(this, path);
};
prototype.use = function (...words) {
  const [path, handlers] = typeof words[0] === "function" ? ["/", words] : [words[0], words.slice(1)];
  // a router has a stack of what it asks in turn, and any other handler answers by itself
  for (const handler of handlers.flat()) note(this, path, handler.stack ? handler : null);
  return use.apply(this, words);
};

function* addresses(router, before) {
  for (const [path, below] of known.get(router) ?? []) {
    const whole = `${before}${path}`.replace(/\/+/g, "/");
    if (below) yield* addresses(below, whole);
    else yield whole;
  }
}

async function main(words) {
  const express = load("node_modules/express");
  const { parse, setDefaults } = load("out/node/cli");
  const app = { router: express(), wsRouter: express(), server: { getConnections() {} } };
  await load("out/node/routes").register(app, await setDefaults(parse(words)));
  const of = (one) => [...new Set(addresses(one.router, ""))];
  const hashed = (text) => load("node_modules/argon2").hash(text, { memoryCost: 8, timeCost: 1, parallelism: 1 });
  const token = process.env.DSVM_TOKEN;
  const cookies = { user: await hashed(token), stranger: await hashed(`not ${token}`) };
  console.log(JSON.stringify({ http: of(app.router), sockets: of(app.wsRouter), cookies }));
  process.exit(0);
}

main(process.argv.slice(1));
