// Nodes as plain objects, the same from a server and from a NodeSet2 file that node-opcua has loaded.

import * as opcua from "node-opcua";
import { generateAddressSpace } from "node-opcua-address-space/nodeJS.js";

const PLANT_INDEX = 2; // what the plant's namespace is called in every dump
const ATTRIBUTES = {
    Object: ["EventNotifier"],
    Variable: ["DataType", "ValueRank", "ArrayDimensions", "AccessLevel", "UserAccessLevel", "Historizing", "Value"],
    Method: ["Executable", "UserExecutable"],
    ObjectType: ["IsAbstract"],
    DataType: ["IsAbstract", "DataTypeDefinition"],
};
const AT_ONCE = 1000; // operations in a request
const BASE = ["NodeClass", "BrowseName", "DisplayName", "Description"];

// Walk from `roots` along every reference: {nodeId: {attributes..., references: [[type, forward, target]]}}.
// Nodes outside namespace `index` are not walked through, but for the roots.
export async function dump(session, { roots, index = PLANT_INDEX }) {
    const nodes = {};
    const canonical = (id) => String(id).replace(new RegExp(`^ns=${index};`), `ns=${PLANT_INDEX};`);
    let layer = roots.map((id) => id.replace(`ns=${PLANT_INDEX};`, `ns=${index};`));
    const seen = new Set(layer);
    while (layer.length) {
        const next = [];
        const found = await inParts(layer, (part) => opcua.browseAll(session, part.map((nodeId) => ({
            nodeId, browseDirection: opcua.BrowseDirection.Both, includeSubtypes: true, resultMask: 63, nodeClassMask: 0,
            referenceTypeId: "i=31",
        }))));
        found.forEach((result, position) => {
            const node = { references: [], browseStatus: result.statusCode.name };
            nodes[canonical(layer[position])] = node;
            for (const reference of result.references ?? []) {
                const target = reference.nodeId.toString();
                node.references.push({
                    type: reference.referenceTypeId.toString(), forward: reference.isForward, target: canonical(target),
                    nodeClass: opcua.NodeClass[reference.nodeClass], name: reference.browseName.name,
                    typeDefinition: canonical(reference.typeDefinition),
                });
                if (reference.isForward && reference.nodeId.namespace === index && !seen.has(target)) {
                    seen.add(target);
                    next.push(target);
                }
            }
        });
        await readAttributes(session, layer, nodes, canonical, index);
        layer = next;
    }
    return nodes;
}

async function readAttributes(session, ids, nodes, canonical, index) {
    const base = await readAll(session, ids.map((id) => [id, BASE]));
    const special = await readAll(session, ids.map((id, position) => {
        const nodeClass = opcua.NodeClass[base[position].NodeClass.value.value];
        return [id, ATTRIBUTES[nodeClass] ?? []];
    }));
    ids.forEach((id, position) => {
        const node = nodes[canonical(id)];
        for (const [name, dataValue] of Object.entries({ ...base[position], ...special[position] })) {
            node[name] = name === "Value" ? plain(dataValue) : plain(dataValue).value;
        }
        node.NodeClass = opcua.NodeClass[node.NodeClass];
        node.BrowseName = node.BrowseName?.replace(new RegExp(`^${index}:`), `${PLANT_INDEX}:`);
        if (node.DataType) node.DataType = canonical(node.DataType);
    });
}

// Every node that hierarchical references reach from `root`, in all namespaces: {nodeId: browse status}.
export async function walk(session, root) {
    const statuses = {};
    let layer = [root];
    while (layer.length) {
        const found = await inParts(layer, (part) => opcua.browseAll(session, part.map((nodeId) => ({
            nodeId, browseDirection: opcua.BrowseDirection.Forward, includeSubtypes: true, resultMask: 63,
            nodeClassMask: 0, referenceTypeId: "i=33",
        }))));
        layer.forEach((id, position) => { statuses[id] = found[position].statusCode.name; });
        const targets = found.flatMap((result) => (result.references ?? []).map((it) => it.nodeId.toString()));
        layer = [...new Set(targets)].filter((id) => !(id in statuses));
    }
    return statuses;
}

async function readAll(session, wanted) {
    const items = wanted.flatMap(([nodeId, names]) =>
        names.map((name) => ({ nodeId, attributeId: opcua.AttributeIds[name] })));
    const values = await inParts(items, (part) => session.read(part));
    let position = 0;
    return wanted.map(([, names]) => Object.fromEntries(names.map((name) => [name, values[position++]])));
}

// Ask for many things as servers let clients: so many in a request.
async function inParts(items, ask) {
    const found = [];
    for (let first = 0; first < items.length; first += AT_ONCE) {
        found.push(...await ask(items.slice(first, first + AT_ONCE)));
    }
    return found;
}

// Load a NodeSet2 file over node-opcua's own standard nodeset, and dump it.
export async function dumpNodeset(file, { roots, namespace }) {
    const addressSpace = opcua.AddressSpace.create();
    try {
        await generateAddressSpace(addressSpace, [opcua.nodesets.standard, file], { imageStore: false });
        const index = addressSpace.getNamespaceIndex(namespace);
        if (index < 0) throw new Error(`${file} has no namespace ${namespace}`);
        return await dump(new opcua.PseudoSession(addressSpace), { roots, index });
    } finally {
        await addressSpace.shutdown();
        addressSpace.dispose();
    }
}

// A DataValue as {status, value, type, array, source, server}.
export function plain(dataValue) {
    const { value: variant, statusCode, sourceTimestamp, serverTimestamp } = dataValue;
    return {
        status: statusCode?.name ?? "Good",
        type: variant ? opcua.DataType[variant.dataType] : "Null",
        array: Boolean(variant) && variant.arrayType !== opcua.VariantArrayType.Scalar,
        value: variant ? content(variant.value, variant.dataType) : null,
        source: sourceTimestamp?.toISOString() ?? null,
        server: serverTimestamp?.toISOString() ?? null,
    };
}

function content(value, dataType) {
    if (value === null || value === undefined) return null;
    const { DataType } = opcua;
    const wide = dataType === DataType.UInt64 || dataType === DataType.Int64;
    if (Array.isArray(value) && !(wide && !Array.isArray(value[0]))) return value.map((item) => content(item, dataType));
    if (ArrayBuffer.isView(value)) return Array.from(value);
    switch (dataType) {
        case DataType.UInt64: return value[0] * 2 ** 32 + value[1];
        case DataType.DateTime: return value.toISOString();
        case DataType.NodeId: case DataType.ExpandedNodeId: return value.toString();
        case DataType.LocalizedText: return value.text;
        case DataType.QualifiedName: return `${value.namespaceIndex}:${value.name}`;
        case DataType.ExtensionObject: return JSON.parse(JSON.stringify(value));
        default: return value;
    }
}

// The symbolic name of the StatusCode in an error of node-opcua, null when it has none.
export function statusName(error) {
    const result = error.response?.responseHeader?.serviceResult ?? error.statusCode;
    return result?.name ?? /\bBad[A-Z]\w+/.exec(error.message ?? "")?.[0] ?? null;
}
