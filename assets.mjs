// Makes static/built/, which is all that browsers load, of static/ and the libraries of package.json: bundled, minified,
// named by content, compressed beforehand. Run by `make run` and `make test`; does nothing where nothing has changed.
//
// manifest.json says what became of each file, what else a script loads first, and what is served by a plain name:
// {"files": {"js/live.js": "js/live-3F2A….js"}, "chunks": {"js/live.js": ["js/chunk-….js"]}, "plain": {"inbox.js":
// "inbox-plain-….js"}, "made_of": digest of all that it depends on, "made": all files}.
//
// Whatever happens here, what the manifest names is there: files are made in a folder of this run alone, moved into place
// one by one, the manifest last, and those of the build before stay, for pages and servers that know them only.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUILT = "static/built";
const MANIFEST = `${BUILT}/manifest.json`;
const FRESH = `static/.built-${process.pid}`;
const MADE = /^static\/(built|\.built-\d+)$/;
const OLD_MS = 3_600_000; // what no build names stays that long: another run may be about to name it
const TABLER = "node_modules/@tabler/core/dist/css/tabler.min.css";
// As they come: they are minified, and one of them is a classic script.
const COPIED = {
  "favicon.svg": "static/favicon.svg",
  "swagger-ui/swagger-ui.css": "node_modules/swagger-ui-dist/swagger-ui.css",
  "swagger-ui/swagger-ui-bundle.js": "node_modules/swagger-ui-dist/swagger-ui-bundle.js",
};

function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return !entry.isDirectory() ? [path] : MADE.test(path) ? [] : filesIn(path);
  });
}

/** @returns the files below a folder that end in one of these, sorted; none of what is made here. */
function below(folder, ...endings) {
  return filesIn(folder)
    .filter((path) => endings.includes(extname(path)))
    .sort();
}

// Where the classes and elements of pages are named, for the rules that are left of Tabler.
const PAGES = [...below("templates", ".html"), ...below("static", ".js"), ...below("notifier/web", ".py")];
const SOURCES = [...PAGES, ...below("static", ".css", ".svg"), "assets.mjs", "package-lock.json"];
const ENTRIES = below("static", ".js", ".css").filter((path) => /^static\/(inbox\.js|preferences\.js|(js|css)\/[^/]+)$/.test(path));

function digest(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 10).toUpperCase();
}

function read(manifest) {
  return existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")) : {};
}

/** @param {string} into a folder → the manifest's `files` and `chunks` */
async function bundle(into) {
  const { build } = await import("esbuild");
  const { PurgeCSS } = await import("purgecss");
  const onlyUsed = {
    name: "only the rules of Tabler that a page can use",
    setup(build) {
      build.onLoad({ filter: /tabler\.min\.css$/ }, async ({ path }) => {
        const [{ css }] = await new PurgeCSS().purge({ css: [path], content: PAGES, keyframes: true, fontFace: true });
        return { contents: css, loader: "css" };
      });
    },
  };
  const { metafile } = await build({
    entryPoints: ENTRIES,
    outbase: "static",
    outdir: into,
    entryNames: "[dir]/[name]-[hash]",
    chunkNames: "js/chunk-[hash]",
    alias: { tabler: `./${TABLER}` },
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "esnext",
    metafile: true,
    plugins: [onlyUsed],
    logLevel: "warning",
  });
  const files = {}, chunks = {};
  for (const [path, { entryPoint, imports }] of Object.entries(metafile.outputs)) {
    if (!entryPoint) continue;
    const source = entryPoint.replace("static/", "");
    files[source] = path.replace(`${into}/`, "");
    const first = imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => path.replace(`${into}/`, ""));
    if (first.length) chunks[source] = first;
  }
  return { files, chunks };
}

function copy(into) {
  const files = {};
  for (const [name, path] of Object.entries(COPIED)) {
    const ending = extname(name);
    files[name] = `${name.slice(0, -ending.length)}-${digest(readFileSync(path))}${ending}`;
    mkdirSync(join(into, dirname(name)), { recursive: true });
    cpSync(path, join(into, files[name]));
  }
  return files;
}

/** What other people's pages and the service worker know by plain names: files named by content, as all others are. */
function plain(into, files) {
  const named = { "favicon.svg": files["favicon.svg"] };
  for (const name of ["inbox.js", "preferences.js"]) {
    const content = `export * from "./${files[name]}";\n`;
    named[name] = name.replace(".js", `-plain-${digest(content)}.js`);
    writeFileSync(join(into, named[name]), content);
  }
  return named;
}

function compress(folder) {
  for (const path of below(folder, ".js", ".css", ".svg")) {
    const content = readFileSync(path);
    const slow = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
    writeFileSync(`${path}.br`, brotliCompressSync(content, { params: slow }));
    writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
  }
}

function put(fresh) {
  const names = filesIn(fresh).map((path) => relative(fresh, path)).filter((name) => name !== "manifest.json");
  for (const name of [...names, "manifest.json"]) {
    mkdirSync(join(BUILT, dirname(name)), { recursive: true });
    renameSync(join(fresh, name), join(BUILT, name));
  }
}

/** Removes what neither this build nor the one before has made, and what killed runs have left. */
function tidy(kept) {
  const known = new Set([...kept, "manifest.json"]);
  const left = readdirSync("static").map((name) => join("static", name)).filter((path) => path !== BUILT && MADE.test(path));
  const unknown = filesIn(BUILT).filter((path) => !known.has(relative(BUILT, path)));
  for (const path of [...left, ...unknown]) {
    const { mtimeMs = Infinity } = statSync(path, { throwIfNoEntry: false }) ?? {};
    if (mtimeMs < Date.now() - OLD_MS) rmSync(path, { recursive: true, force: true });
  }
}

async function make(madeOf) {
  const { files, chunks } = await bundle(FRESH);
  Object.assign(files, copy(FRESH));
  const named = plain(FRESH, files);
  compress(FRESH);
  const made = filesIn(FRESH).map((path) => relative(FRESH, path));
  const last = read(MANIFEST);
  // Another run that has made the same meanwhile is not the build before, which a server may still be running with
  const before = (last.made_of === madeOf ? last.before : last.made) ?? [];
  const manifest = { files, chunks, plain: named, made_of: madeOf, made, before };
  writeFileSync(join(FRESH, "manifest.json"), JSON.stringify(manifest, null, 1));
  put(FRESH);
  tidy([...made, ...before]);
}

const madeOf = digest(...SOURCES.flatMap((path) => [path, readFileSync(path)]));
if (read(MANIFEST).made_of !== madeOf) {
  if (process.argv.includes("--check")) process.exit(1);
  try {
    await make(madeOf);
  } finally {
    rmSync(FRESH, { recursive: true, force: true });
  }
}
