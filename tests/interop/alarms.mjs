// node-opcua's own alarm client: its list of alarms, and what it calls to acknowledge, confirm and comment.

import * as opcua from "node-opcua";

export const alarmOperations = (get, tell) => ({
    // Keep node-opcua's list of alarms; each change of it is told as "alarms".
    async alarms_install({ connection }) {
        const target = get(connection);
        target.alarms ??= [];
        const list = await opcua.installAlarmMonitoring(target.session);
        list.on("alarmChanged", (alarm) => tell(target, "alarms", shown(alarm.fields)));
        return list.alarms().map((alarm) => shown(alarm.fields));
    },

    async alarms_uninstall({ connection }) {
        await opcua.uninstallAlarmMonitoring(get(connection).session);
    },

    // What a refresh tells, as node-opcua finds it.
    async alarms_active({ connection }) {
        return (await opcua.findActiveConditions(get(connection).session)).map(shown);
    },

    async alarms_acknowledge_all({ connection, comment }) {
        await opcua.acknowledgeAllConditions(get(connection).session, comment);
    },

    async alarms_confirm_all({ connection, comment }) {
        await opcua.confirmAllConditions(get(connection).session, comment);
    },

    // method: "acknowledge", "confirm" or "addComment"; `event` is the EventId in hexadecimal digits.
    async alarms_call({ connection, method, condition, event, comment }) {
        const { session } = get(connection);
        return (await session[`${method}Condition`](condition, Buffer.from(event, "hex"), comment)).name;
    },
});

function shown(fields) {
    const value = (field) => field?.value ?? null;
    const text = (field) => field?.value?.text ?? null;
    return {
        condition: value(fields.conditionId)?.toString(),
        name: value(fields.conditionName),
        type: value(fields.eventType)?.toString(),
        event: value(fields.eventId)?.toString("hex"),
        branch: value(fields.branchId)?.toString(),
        source: value(fields.sourceName),
        message: text(fields.message),
        severity: value(fields.severity),
        retain: value(fields.retain),
        active: value(fields.activeState?.id),
        acked: value(fields.ackedState?.id),
        confirmed: value(fields.confirmedState?.id),
        enabled: value(fields.enabledState?.id),
        comment: text(fields.comment),
        user: value(fields.clientUserId),
        shelving: text(fields.shelvingState?.currentState),
        suppressedOrShelved: value(fields.suppressedOrShelved),
        quality: value(fields.quality)?.name ?? null,
    };
}
