// Decodes Sparkplug payloads with the npm package sparkplug-payload: a line of hexadecimal in, a line of JSON out.
// `payload` is what the package makes of it, `raw` every field of it: the package shows no value without a datatype.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const sparkplug = require("sparkplug-payload").get("spBv1.0");
const { Payload } = require("sparkplug-payload/lib/sparkplugPayloadProto.js").org.eclipse.tahu.protobuf;

for await (const line of createInterface({ input: process.stdin })) {
  const bytes = Buffer.from(line, "hex");
  const payload = sparkplug.decodePayload(bytes);
  const raw = Payload.toObject(Payload.decode(bytes), { longs: String, oneofs: true });
  console.log(JSON.stringify({ payload, raw }));
}
