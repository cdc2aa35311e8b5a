// Prints, as one JSON Schema, what Grafana publishes of dashboards and of its own panels: the TypeScript types of
// @grafana/schema, which it makes from the same kinds as its own code. Argument: a folder for a file of its own.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { createGenerator } = require("ts-json-schema-generator");
const types = join(dirname(require.resolve("@grafana/schema/package.json")), "dist/types/raw");
const panels = {
  timeseries: "timeseries", stat: "stat", gauge: "gauge", bargauge: "bargauge", table: "table",
  "state-timeline": "statetimeline", "status-history": "statushistory",
};
const module_ = (folder) => join(types, "composable", folder, "panelcfg/x/types.gen");
const hasFields = (folder) => /export (interface|type) FieldConfig\b/.test(readFileSync(module_(folder) + ".d.ts", "utf8"));
const lines = [`import * as D from "${join(types, "dashboard/x/types.gen")}";`];
for (const folder of Object.values(panels)) lines.push(`import * as ${folder} from "${module_(folder)}";`);
lines.push("export interface Everything {", "  dashboard: D.Dashboard;");
for (const [name, folder] of Object.entries(panels)) {
  const custom = hasFields(folder) ? `${folder}.FieldConfig` : "Record<string, never>";
  lines.push(`  "${name}": { options: ${folder}.Options; custom: ${custom} };`);
}
lines.push("}");
const entry = join(process.argv[2], "everything.ts");
writeFileSync(entry, lines.join("\n") + "\n");
const generator = createGenerator({
  path: entry, type: "Everything", skipTypeCheck: true, additionalProperties: false, expose: "none", topRef: false,
});
process.stdout.write(JSON.stringify(generator.createSchema("Everything")));
