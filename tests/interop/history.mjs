// HistoryRead with node-opcua's own client functions, answers as plain JSON for Python to judge.

import * as opcua from "node-opcua";
import { PerformUpdateType, UpdateDataDetails } from "node-opcua-types";

export const historyOperations = (get) => ({
    // ReadRawModifiedDetails; `from` after `to` reads backward. Follows continuation points; returns {status, pages, rows, point}.
    async history_raw({ connection, node, from, to, most = 0, bounds = false, timestamps = "Source", pages = 1000, point }) {
        const { session } = get(connection);
        let wanted = point ? { nodeId: node, continuationPoint: Buffer.from(point, "hex") } : { nodeId: node };
        const rows = [];
        for (let page = 1; ; page++) {
            const result = await session.readHistoryValue([wanted], new Date(from), new Date(to), {
                numValuesPerNode: most, returnBounds: bounds, isReadModified: false,
                timestampsToReturn: opcua.TimestampsToReturn[timestamps],
            });
            const [{ statusCode, historyData, continuationPoint }] = result;
            rows.push(...(historyData?.dataValues ?? []).map(shown));
            if (!continuationPoint?.length || page === pages) {
                return { status: statusCode.name, pages: page, rows, point: continuationPoint?.toString("hex") ?? "" };
            }
            wanted = { nodeId: node, continuationPoint };
        }
    },

    // ReadProcessedDetails of several aggregates at once; `interval` in ms.
    async history_processed({ connection, node, from, to, interval, aggregates, configuration }) {
        const found = await get(connection).session.readAggregateValue(
            aggregates.map(() => ({ nodeId: node })), new Date(from), new Date(to),
            aggregates.map((name) => opcua.AggregateFunction[name]), interval, ...(configuration ? [configuration] : []));
        return found.map((result) => ({
            status: result.statusCode.name, rows: (result.historyData?.dataValues ?? []).map(shown),
        }));
    },

    // ReadAtTimeDetails.
    async history_at_time({ connection, node, times, simple = false }) {
        const answer = await get(connection).session.historyRead(new opcua.HistoryReadRequest({
            historyReadDetails: new opcua.ReadAtTimeDetails({
                reqTimes: times.map((time) => new Date(time)), useSimpleBounds: simple,
            }),
            nodesToRead: [{ nodeId: node }], releaseContinuationPoints: false,
            timestampsToReturn: opcua.TimestampsToReturn.Source,
        }));
        const [result] = answer.results;
        return { status: result.statusCode.name, rows: (result.historyData?.dataValues ?? []).map(shown) };
    },

    // HistoryUpdate: `values` are [time, value]; `how` a PerformUpdateType's name. Returns the StatusCodes' names.
    async history_update({ connection, node, how, type, values }) {
        const request = new opcua.HistoryUpdateRequest({
            historyUpdateDetails: [new UpdateDataDetails({
                nodeId: node, performInsertReplace: PerformUpdateType[how],
                updateValues: values.map(([time, value]) => new opcua.DataValue({
                    value: { dataType: opcua.DataType[type], value }, sourceTimestamp: new Date(time),
                    statusCode: opcua.StatusCodes.Good,
                })),
            })],
        });
        const { results: [result] } = await get(connection).session.performMessageTransaction(request);
        return { status: result.statusCode.name, operations: (result.operationResults ?? []).map((code) => code.name) };
    },
});

function shown(data) {
    return [data.sourceTimestamp?.toISOString() ?? null, data.value?.value ?? null, data.statusCode.value, data.statusCode.name];
}
