"use strict";
// A plain node-opcua server with the same variables, as its documentation writes one.

const readline = require("node:readline");
const { parseArgs } = require("node:util");
const {
  OPCUAServer, Variant, DataType, StatusCodes, SecurityPolicy, MessageSecurityMode, nodesets,
  OPCUACertificateManager,
} = require("node-opcua");

const { values: args } = parseArgs({
  options: {
    port: { type: "string" },
    machines: { type: "string" },
    values: { type: "string" },
    setpoints: { type: "string" },
    data: { type: "string" },
    pki: { type: "string" },
  },
});

async function main() {
  const certificates = new OPCUACertificateManager({ rootFolder: args.data, automaticallyAcceptUnknownCertificate: true });
  const server = new OPCUAServer({
    port: Number(args.port),
    hostname: "127.0.0.1",
    allowAnonymous: true,
    securityPolicies: args.pki ? [SecurityPolicy.None, SecurityPolicy.Basic256Sha256] : [SecurityPolicy.None],
    securityModes: args.pki ? [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt] : [MessageSecurityMode.None],
    ...(args.pki && {
      certificateFile: `${args.pki}/certificate.pem`,
      privateKeyFile: `${args.pki}/key.pem`,
      serverInfo: { applicationUri: "urn:plantree:bench" },
    }),
    nodeset_filename: [nodesets.standard],
    serverCertificateManager: certificates,
    registerServerMethod: 1,
    serverCapabilities: {
      operationLimits: { maxNodesPerRead: 10000, maxNodesPerWrite: 10000, maxMonitoredItemsPerCall: 10000 },
      maxMonitoredItems: 200000,
      maxMonitoredItemsPerSubscription: 200000,
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const namespace = space.registerNamespace("urn:plantree:plant");
  const measured = populate(namespace);
  await server.start();
  steer(server, measured);
}

function populate(namespace) {
  const measured = [];
  const plant = namespace.addObject({ nodeId: "s=Plant", browseName: "Plant", organizedBy: namespace.addressSpace.rootFolder.objects });
  for (let number = 1; number <= Number(args.machines); number += 1) {
    const path = `Plant.Machine${number}`;
    const machine = namespace.addObject({ nodeId: `s=${path}`, browseName: `Machine${number}`, componentOf: plant });
    for (let place = 1; place <= Number(args.values); place += 1) {
      measured.push(addDouble(namespace, machine, path, `Value${place}`, "CurrentRead"));
    }
    let setpoint;
    for (let place = 1; place <= Number(args.setpoints); place += 1) {
      const variable = addDouble(namespace, machine, path, `Setpoint${place}`, "CurrentRead | CurrentWrite");
      setpoint = setpoint || variable;
    }
    if (setpoint) addMethod(namespace, machine, path, setpoint);
  }
  return measured;
}

function addDouble(namespace, machine, path, name, accessLevel) {
  const variable = namespace.addVariable({
    nodeId: `s=${path}.${name}`,
    browseName: name,
    componentOf: machine,
    dataType: "Double",
    accessLevel,
    userAccessLevel: accessLevel,
    minimumSamplingInterval: 0,
  });
  variable.setValueFromSource({ dataType: DataType.Double, value: 0 });
  return variable;
}

function addMethod(namespace, machine, path, setpoint) {
  const method = namespace.addMethod(machine, {
    nodeId: `s=${path}.Set`,
    browseName: "Set",
    inputArguments: [{ name: "Value", dataType: DataType.Double, description: { text: "The new value" } }],
    outputArguments: [],
  });
  method.bindMethod((inputs, _context, callback) => {
    setpoint.setValueFromSource({ dataType: DataType.Double, value: inputs[0].value });
    callback(null, { statusCode: StatusCodes.Good, outputArguments: [] });
  });
}

function steer(server, measured) {
  let changing = 0;
  let written = 0;
  let timer;
  function change() {
    const now = new Date();
    for (let place = 0; place < changing; place += 1) {
      measured[place].setValueFromSource(new Variant({ dataType: DataType.Double, value: Math.random() }), StatusCodes.Good, now);
    }
    written += changing;
  }
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const wanted = JSON.parse(line);
    if (wanted.changing !== undefined) {
      changing = wanted.changing;
      clearInterval(timer);
      if (changing) timer = setInterval(change, 100);
    }
    process.stdout.write(`${JSON.stringify({ changing, written })}\n`);
  });
  lines.on("close", async () => {
    clearInterval(timer);
    await server.shutdown(0);
    process.exit(0);
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
