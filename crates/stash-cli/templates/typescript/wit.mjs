// Copies wit/ to build/wit, as the JavaScript engine wants it: it has WASI of 0.2.10, and interfaces are all that is
// needed of a package.
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

rmSync("build", { recursive: true, force: true });
cpSync("wit", "build/wit", { recursive: true });
for (const file of readdirSync("build/wit/deps")) {
  if (file === "storage.wit") continue;
  const path = `build/wit/deps/${file}`;
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(/@0\.2\.[0-9]+/g, "@0.2.10").replace(/^world [^]*?^}\n?/gm, ""));
}
