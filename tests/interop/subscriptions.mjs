// Services of subscriptions and monitored items, each request sent as it is: what the answer says is for Python to judge.

import * as opcua from "node-opcua";

export const subscriptionOperations = (get) => ({
    // request: "CreateSubscription"; parameters as node-opcua's constructor takes them, {$type: "DataChangeFilter", ...}
    // for what is an extension object, {$node: "i=85"} and {$date: "2026-03-01"}. Returns the response as plain JSON; a ServiceFault is an error.
    async service({ connection, request, parameters }) {
        const made = new opcua[`${request}Request`](typed(parameters));
        return simple(await get(connection).session.performMessageTransaction(made));
    },

    // A subscription of node-opcua's own making, its happenings told as events: {subscription, what, ...}.
    async client_subscription({ connection, tag, interval = 50, keepAlive = 5, lifetime = 100, enabled = true }) {
        const target = get(connection);
        const made = await target.session.createSubscription2({
            requestedPublishingInterval: interval, requestedLifetimeCount: lifetime, requestedMaxKeepAliveCount: keepAlive,
            maxNotificationsPerPublish: 0, publishingEnabled: enabled, priority: 1,
        });
        const tell = (what, more = {}) => {
            target.events.push({ subscription: tag, what, ...more });
            for (const wake of [...target.waiters]) wake();
        };
        made.on("keepalive", () => tell("keepalive"));
        made.on("terminated", () => tell("terminated"));
        made.on("status_changed", (status) => tell("status", { status: status.name }));
        made.on("raw_notification", (message) => tell("message", { sequence: message.sequenceNumber }));
        return { id: made.subscriptionId, keepAlive: made.maxKeepAliveCount, lifetime: made.lifetimeCount };
    },
});

function typed(value) {
    if (Array.isArray(value)) return value.map(typed);
    if (value === null || typeof value !== "object") return value;
    if (value.$node) return opcua.resolveNodeId(value.$node);
    if (value.$date) return new Date(value.$date);
    const { $type, ...fields } = Object.fromEntries(Object.entries(value).map(([key, field]) => [key, typed(field)]));
    return $type ? new opcua[$type](fields) : fields;
}

function simple(value) {
    if (value === null || value === undefined) return null;
    if (Array.isArray(value)) return value.map(simple);
    if (value instanceof Date) return value.toISOString();
    if (value instanceof opcua.StatusCode) return value.value;
    if (value instanceof opcua.NodeId) return value.toString();
    if (value instanceof opcua.Variant) return simple(value.value);
    if (ArrayBuffer.isView(value)) return [...value];
    if (typeof value !== "object") return value;
    const names = Object.keys(value).filter((name) => !name.startsWith("_") && name !== "responseHeader");
    return Object.fromEntries([["$type", value.constructor.name], ...names.map((name) => [name, simple(value[name])])]);
}
