// Reads {name: Flux} from standard input; prints the names that InfluxData's own analysis of types and functions
// finds fault with, or that do not parse.
import { createRequire } from "node:module";
import { join } from "node:path";
import { readFileSync } from "node:fs";

const { Flux } = createRequire(join(process.cwd(), "package.json"))("@influxdata/flux-lsp-node");
const faults = [];
for (const [name, script] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  let valid = false;
  try {
    valid = new Flux(script).is_valid();
  } catch {}
  if (!valid) faults.push(name);
}
process.stdout.write(JSON.stringify(faults));
