// Decodes OPC UA JSON (OPC 10000-6 5.4, 1.05) with node-opcua-json: a line of JSON {kind, json} in, a line out.
// Kinds: `field` is a DataValue in the CompactEncoding, `metadata` a DataSetMetaDataType, `connection` a
// PubSubConnectionDataType. Where node-opcua-json 2.186 is not of the standard's opinion, the standard's form is turned
// into its own first: a DataValue's status is in Status, not StatusCode; the members of an ExtensionObject are beside its
// UaTypeId, not in a UaBody.
import { createInterface } from "node:readline";
import { getStandardDataTypeFactory } from "node-opcua-factory";
import { opcuaJsonDecodeStatusCode, opcuaJsonDecodeVariant } from "node-opcua-json";
import { opcuaJsonDecodeDateTime } from "node-opcua-json/dist/json_basic_encoding_decoding_date_time.js";
import { opcuaJsonDecodeExtensionObjectBody } from "node-opcua-json/dist/json_basic_encoding_decoding_extension_object.js";
import { DataSetMetaDataType, PubSubConnectionDataType } from "node-opcua-types";

const factory = getStandardDataTypeFactory();
const builder = { getExtensionObjectConstructor: (id) => factory.getStructureInfoForDataType(id).constructor };
const NAMESPACES = ["http://opcfoundation.org/UA/", "urn:plantree:plant"];

function field(json) {
  const variant = "Value" in json ? opcuaJsonDecodeVariant(json, builder, NAMESPACES) : null;
  const wide = variant !== null && Array.isArray(variant.value);
  return {
    type: variant && variant.dataType,
    value: wide ? (BigInt(variant.value[0]) * 4294967296n + BigInt(variant.value[1])).toString() : variant && variant.value,
    status: json.Status === undefined ? 0 : opcuaJsonDecodeStatusCode(json.Status).value,
    time: opcuaJsonDecodeDateTime(json.SourceTimestamp).getTime(),
  };
}

function withBodies(json) {
  if (Array.isArray(json)) return json.map(withBodies);
  if (json === null || typeof json !== "object") return json;
  const { UaTypeId, ...rest } = json;
  const members = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, withBodies(value)]));
  return UaTypeId === undefined ? members : { UaTypeId, UaBody: members };
}

function structure(Type) {
  return (json) =>
    new Type(opcuaJsonDecodeExtensionObjectBody(Type.schema, withBodies(json), builder, NAMESPACES)).toJSON();
}

const decoders = { field, metadata: structure(DataSetMetaDataType), connection: structure(PubSubConnectionDataType) };

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, json } = JSON.parse(line);
  console.log(JSON.stringify(decoders[kind](json)));
}
