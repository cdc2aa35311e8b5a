// An OPC UA client on node-opcua that the Python tests drive: requests are lines of JSON on standard input, answers
// are lines on standard output. {"id": 1, "op": "connect", ...} is answered by {"id": 1, "result": ...} or
// {"id": 1, "error": {"message": "...", "status": "BadUserAccessDenied"}}.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";

// Standard output is for answers alone: what node-opcua prints goes to standard error.
const print = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

const opcua = await import("node-opcua");
const crypto = await import("node-opcua-crypto");
const { alarmOperations } = await import("./alarms.mjs");
const { dump, dumpNodeset, plain, statusName, walk } = await import("./nodes.mjs");
const { subscriptionOperations } = await import("./subscriptions.mjs");
const { historyOperations } = await import("./history.mjs");

const connections = new Map();
let lastConnection = 0;

const operations = {
    // Make an application's key and certificate with node-opcua's certificate manager; returns the certificate's file.
    async identity({ folder, applicationUri, commonName, startDate, validity = 365 }) {
        const manager = await certificateManager(folder);
        const outputFile = path.join(folder, "own", "certs", "certificate.pem");
        await manager.createSelfSignedCertificate({
            subject: `/CN=${commonName}`, applicationUri, dns: ["localhost"], ip: ["127.0.0.1"],
            startDate: startDate ? new Date(startDate) : new Date(Date.now() - 60_000), validity, outputFile,
        });
        return outputFile;
    },

    async endpoints({ endpoint }) {
        const client = opcua.OPCUAClient.create({ connectionStrategy: { maxRetry: 0 }, endpointMustExist: false });
        await client.connect(endpoint);
        try {
            return (await client.getEndpoints()).map((found) => ({
                url: found.endpointUrl,
                policy: found.securityPolicyUri.split("#")[1],
                mode: opcua.MessageSecurityMode[found.securityMode],
                level: found.securityLevel,
                applicationUri: found.server.applicationUri,
                certificate: found.serverCertificate?.length ?? 0,
                tokens: found.userIdentityTokens.map((token) => opcua.UserTokenType[token.tokenType]),
            }));
        } finally {
            await client.disconnect();
        }
    },

    // Open a channel and a session; `user` is {userName, password}, `claimedUri` what the client says it is.
    async connect({ endpoint, policy, mode, identity, applicationUri, user, userCertificate, claimedUri, localeIds }) {
        const client = opcua.OPCUAClient.create({
            applicationName: "Plantree interop", applicationUri,
            clientCertificateManager: await certificateManager(identity),
            certificateFile: path.join(identity, "own", "certs", "certificate.pem"),
            privateKeyFile: path.join(identity, "own", "private", "private_key.pem"),
            securityPolicy: opcua.SecurityPolicy[policy], securityMode: opcua.MessageSecurityMode[mode],
            endpointMustExist: false, connectionStrategy: { maxRetry: 0 }, transportTimeout: 300_000,
            requestedSessionTimeout: 600_000, keepSessionAlive: true, localeIds,
        });
        // node-opcua always says what is in its certificate
        if (claimedUri) client._getApplicationUri = () => claimedUri;
        const connection = { client, events: [], notifications: [], waiters: new Set() };
        for (const name of ["connection_lost", "close", "abort"]) {
            client.on(name, () => tell(connection, "events", name));
        }
        let token = { type: opcua.UserTokenType.Anonymous };
        if (user) token = { type: opcua.UserTokenType.UserName, ...user };
        if (userCertificate) {
            token = {
                type: opcua.UserTokenType.Certificate,
                certificateData: crypto.readCertificateChain(userCertificate.certificate)[0],
                privateKey: fs.readFileSync(userCertificate.privateKey, "utf8"),
            };
        }
        try {
            await client.connect(endpoint);
            connection.session = await client.createSession(token);
        } catch (error) {
            await client.disconnect().catch(() => {});
            throw error;
        }
        connection.session.on("session_closed", () => tell(connection, "events", "session_closed"));
        connections.set(++lastConnection, connection);
        return lastConnection;
    },

    // Ask for an anonymous session on an unencrypted channel, without a look at the endpoints that are offered.
    async session_in_clear_text({ endpoint }) {
        const client = opcua.OPCUAClient.create({ connectionStrategy: { maxRetry: 0 }, endpointMustExist: false });
        await client.connect(endpoint);
        const ask = (request) => new Promise((resolve) => {
            client.performMessageTransaction(request, (error, response) => resolve(
                { response, status: statusName(error ?? {}) ?? response?.responseHeader.serviceResult.name }));
        });
        try {
            const created = await ask(new opcua.CreateSessionRequest({
                clientDescription: { applicationUri: "urn:interop:bare", applicationType: opcua.ApplicationType.Client },
                endpointUrl: endpoint, sessionName: "bare", requestedSessionTimeout: 10_000,
                clientNonce: Buffer.alloc(32, 7),
            }));
            if (created.status !== "Good") return { created: created.status, activated: null };
            const request = new opcua.ActivateSessionRequest({
                userIdentityToken: new opcua.AnonymousIdentityToken({ policyId: "anonymous" }),
            });
            request.requestHeader.authenticationToken = created.response.authenticationToken;
            return { created: created.status, activated: (await ask(request)).status };
        } finally {
            await client.disconnect();
        }
    },

    async disconnect({ connection }) {
        const { client, session } = get(connection);
        connections.delete(connection);
        await session.close(true).catch(() => {});
        await client.disconnect();
    },

    async dump({ connection, ...options }) {
        return dump(get(connection).session, options);
    },

    async walk({ connection, root }) {
        return walk(get(connection).session, root);
    },

    async nodeset({ file, ...options }) {
        return dumpNodeset(file, options);
    },

    // Browse one node: {target: DisplayName}.
    async display_names({ connection, node }) {
        const found = await get(connection).session.browse({ nodeId: node, resultMask: 63, includeSubtypes: true,
            browseDirection: opcua.BrowseDirection.Both, referenceTypeId: "i=31" });
        return Object.fromEntries(found.references.map((it) => [it.nodeId.toString(), it.displayName.text]));
    },

    // Browse one node with at most `max` references an answer: {references, answers}.
    async browse_in_parts({ connection, node, max }) {
        const { session } = get(connection);
        session.requestedMaxReferencesPerNode = max;
        const description = { nodeId: node, browseDirection: opcua.BrowseDirection.Forward, resultMask: 63,
            includeSubtypes: true, referenceTypeId: "i=31" };
        let answer = await session.browse(description);
        const sizes = [answer.references.length];
        const references = [...answer.references];
        while (answer.continuationPoint?.length) {
            answer = await session.browseNext(answer.continuationPoint, false);
            sizes.push(answer.references.length);
            references.push(...answer.references);
        }
        session.requestedMaxReferencesPerNode = 0;
        return { sizes, targets: references.map((reference) => reference.nodeId.toString()) };
    },

    async translate({ connection, start, path: relative }) {
        const browsePath = opcua.makeBrowsePath(start, relative);
        const found = await get(connection).session.translateBrowsePath(browsePath);
        return { status: found.statusCode.name, targets: (found.targets ?? []).map((it) => it.targetId.toString()) };
    },

    // nodes: [[nodeId, attribute name]]; `timestamps` and `maxAge` go into the request as they are.
    async read({ connection, nodes, timestamps = "Both", maxAge = 0 }) {
        const nodesToRead = nodes.map(([nodeId, attribute]) => ({ nodeId, attributeId: opcua.AttributeIds[attribute] }));
        const timestampsToReturn = opcua.TimestampsToReturn[timestamps];
        const request = new opcua.ReadRequest({ nodesToRead, timestampsToReturn, maxAge });
        const response = await get(connection).session.performMessageTransaction(request);
        return response.results.map(plain);
    },

    // `array` wraps the value as an array of its type; timestamps are not sent unless `stamp` is given.
    async write({ connection, node, type, value, array = false, attribute = "Value", stamp }) {
        const item = {
            nodeId: node, attributeId: opcua.AttributeIds[attribute],
            value: { value: variant(type, value, array), sourceTimestamp: stamp ? new Date(stamp) : undefined },
        };
        return (await get(connection).session.write(item)).name;
    },

    // arguments: [[type, value]], or [[type, values, true]] for an array
    async call({ connection, object, method, arguments: given }) {
        const inputArguments = given.map(([type, value, array]) => variant(type, value, array ?? false));
        const result = await get(connection).session.call({ objectId: object, methodId: method, inputArguments });
        return {
            status: result.statusCode.name,
            arguments: (result.inputArgumentResults ?? []).map((status) => status.name),
            outputs: (result.outputArguments ?? []).map((output) => plain({ value: output }).value),
        };
    },

    async subscribe({ connection, nodes, interval = 50, sampling = 0, queue = 100 }) {
        const target = get(connection);
        target.subscription ??= await target.session.createSubscription2({
            requestedPublishingInterval: interval, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
            maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
        });
        const statuses = [];
        for (const node of nodes) {
            const item = await target.subscription.monitor(
                { nodeId: node, attributeId: opcua.AttributeIds.Value },
                { samplingInterval: sampling, queueSize: queue, discardOldest: true }, opcua.TimestampsToReturn.Both,
            );
            item.on("changed", (dataValue) => tell(target, "notifications", { node, ...plain(dataValue) }));
            statuses.push(item.statusCode.name);
        }
        return statuses;
    },

    // Wait until there are more than `after` of `kind` ("notifications" or "events"), then return those after it.
    async wait({ connection, kind, after, within = 5 }) {
        const target = get(connection);
        if (target[kind].length <= after) {
            await new Promise((resolve) => {
                const timer = setTimeout(done, within * 1000);
                function done() {
                    clearTimeout(timer);
                    target.waiters.delete(done);
                    resolve();
                }
                target.waiters.add(done);
            });
        }
        return target[kind].slice(after);
    },

    // What node-opcua knows of units: {UnitId: symbol}.
    async units() {
        return Object.fromEntries(
            Object.values(opcua.standardUnits).map((unit) => [unit.unitId, unit.displayName.text]));
    },
};

Object.assign(operations, alarmOperations(get, tell), subscriptionOperations(get), historyOperations(get));

function get(number) {
    const connection = connections.get(number);
    if (!connection) throw new Error(`there is no connection ${number}`);
    return connection;
}

function tell(connection, kind, what) {
    connection[kind].push(what);
    for (const wake of [...connection.waiters]) wake();
}

function variant(type, value, array) {
    const dataType = opcua.DataType[type];
    if (type === "Null") return new opcua.Variant();
    const converters = { DateTime: (text) => new Date(text), ByteString: (digits) => Buffer.from(digits, "hex") };
    const convert = converters[type] ?? specialNumber;
    const arrayType = array ? opcua.VariantArrayType.Array : opcua.VariantArrayType.Scalar;
    return new opcua.Variant({ dataType, arrayType, value: array ? value.map(convert) : convert(value) });
}

// JSON has no NaN and no infinity.
function specialNumber(value) {
    return { NaN, Infinity, "-Infinity": -Infinity }[value] ?? value;
}

const managers = new Map();

async function certificateManager(folder) {
    if (!managers.has(folder)) {
        const manager = new opcua.OPCUACertificateManager({
            rootFolder: folder, automaticallyAcceptUnknownCertificate: true, disableFileWatchers: true,
        });
        managers.set(folder, manager.initialize().then(() => manager));
    }
    return managers.get(folder);
}

async function answer(line) {
    const { id, op, ...parameters } = JSON.parse(line);
    let reply;
    try {
        if (!operations[op]) throw new Error(`there is no operation ${op}`);
        reply = { id, result: (await operations[op](parameters)) ?? null };
    } catch (error) {
        reply = { id, error: { message: String(error.message ?? error), status: statusName(error) } };
    }
    print(`${JSON.stringify(reply)}\n`);
}

const input = readline.createInterface({ input: process.stdin });
input.on("line", (line) => void answer(line));
input.on("close", () => process.exit(0));
