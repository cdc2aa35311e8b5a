// The server's REST interface, with the session's cookie and CSRF token.
const token = document.querySelector('meta[name="csrf"]')?.content ?? "";

export class Refused extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

export async function call(path, body, method = body === undefined ? "GET" : "POST") {
  const options = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (method !== "GET") options.headers["X-CSRF-Token"] = token;
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const found = (answer.headers.get("Content-Type") ?? "").includes("json") ? await answer.json() : null;
  if (answer.status === 401 && !path.startsWith("/login")) location.assign("/login");
  if (!answer.ok) throw new Refused(answer.status, found?.detail ?? found?.title ?? answer.statusText);
  return found;
}

const at = (path) => encodeURIComponent(path);
export const alarms = (all) => call(`/api/v1/alarms${all ? "?all=true" : ""}`);
export const alarmAt = (path) => call(`/api/v1/alarms/${at(path)}`);
export const onCondition = (path, method, body = {}) => call(`/api/v1/alarms/${at(path)}/${method}`, body);
export const setLimits = (path, values) => call(`/api/v1/alarms/${at(path)}/limits`, { values }, "PUT");
export const command = (path, given = {}) => call(`/api/v1/commands/${at(path)}`, { arguments: given });
export const write = (path, value) => call(`/api/v1/values/${at(path)}`, { value }, "PUT");
export const samples = (path, query) => call(`/api/v1/history/${at(path)}?${new URLSearchParams(query)}`);
export const aggregates = (path, query) => call(`/api/v1/aggregates/${at(path)}?${new URLSearchParams(query)}`);
export const audit = (query) => call(`/api/v1/audit?${new URLSearchParams(query)}`);
export const certificates = () => call("/api/v1/certificates");
export const moveCertificate = (thumbprint, how) => call(`/api/v1/certificates/${at(thumbprint)}/${how}`, {});
export const snapshots = (limit) => call(`/api/v1/snapshots?limit=${limit}`);
export const reportPicture = (id, comment) => call(`/api/v1/snapshots/${at(id)}/false_alarm`, { comment });
export const values = (under) => call(`/api/v1/values?${new URLSearchParams({ under })}`);
