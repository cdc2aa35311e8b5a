"""A PLC that pymodbus did not write: a Modbus TCP server on libmodbus 3.1, driven over its standard input.

Each line in is a JSON array, each line out the JSON answer:
`["set", TABLE, ADDRESS, [VALUE...]]`, `["get", TABLE, ADDRESS, COUNT]`, or `["requests"]`: the requests since the
last such line, as [function code, address, count or value]. The first line out is the port. It ends when its
standard input closes.
"""

import ctypes
import json
import os
import select
import socket
import sys

SIZE = 512
MAX_ADU = 260  # MODBUS_TCP_MAX_ADU_LENGTH


class Mapping(ctypes.Structure):
    """modbus_mapping_t of modbus.h."""

    _fields_ = (
        ("nb_bits", ctypes.c_int),
        ("start_bits", ctypes.c_int),
        ("nb_input_bits", ctypes.c_int),
        ("start_input_bits", ctypes.c_int),
        ("nb_input_registers", ctypes.c_int),
        ("start_input_registers", ctypes.c_int),
        ("nb_registers", ctypes.c_int),
        ("start_registers", ctypes.c_int),
        ("coil", ctypes.POINTER(ctypes.c_uint8)),
        ("discrete", ctypes.POINTER(ctypes.c_uint8)),
        ("input", ctypes.POINTER(ctypes.c_uint16)),
        ("holding", ctypes.POINTER(ctypes.c_uint16)),
    )


def load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libmodbus.so.5")
    except OSError:
        sys.exit("libmodbus.so.5 is not installed, these tests need it: apt-get install libmodbus5")
    library.modbus_new_tcp.restype = ctypes.c_void_p
    library.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    return library


class Plc:
    def __init__(self, port: int) -> None:
        self.library = load()
        self.context = ctypes.c_void_p(self.library.modbus_new_tcp(b"127.0.0.1", port))
        self.mapping = self.library.modbus_mapping_new(SIZE, SIZE, SIZE, SIZE)
        self.listener = self.library.modbus_tcp_listen(self.context, 8)
        if self.listener < 0:
            sys.exit(f"cannot listen on port {port}")
        self.clients: set[int] = set()
        self.requests: list[list[int]] = []
        self.buffer = (ctypes.c_uint8 * MAX_ADU)()

    def port(self) -> int:
        with socket.socket(fileno=os.dup(self.listener)) as listener:
            return int(listener.getsockname()[1])

    def accept(self) -> None:
        with socket.socket(fileno=os.dup(self.listener)) as listener:
            self.clients.add(listener.accept()[0].detach())

    def serve(self, client: int) -> None:
        self.library.modbus_set_socket(self.context, client)
        length = self.library.modbus_receive(self.context, self.buffer)
        if length <= 0:
            self.clients.discard(client)
            os.close(client)
            return
        pdu = bytes(self.buffer[7:length])
        self.requests.append([pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")])
        self.library.modbus_reply(self.context, self.buffer, length, self.mapping)

    def order(self, what: str, *arguments: object) -> object:
        if what == "requests":
            requests, self.requests = self.requests, []
            return requests
        table, address, rest = arguments
        memory = getattr(self.mapping.contents, str(table))
        if what == "get":
            return [memory[address + i] for i in range(rest)]
        for i, value in enumerate(rest):
            memory[address + i] = value
        return None


def answer(result: object) -> None:
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def main() -> None:
    plc = Plc(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    answer(plc.port())
    commands = b""
    while True:
        ready, _, _ = select.select([plc.listener, 0, *plc.clients], [], [])
        for descriptor in ready:
            if descriptor == plc.listener:
                plc.accept()
            elif descriptor in plc.clients:
                plc.serve(descriptor)
            else:
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, commands = (commands + data).split(b"\n")
                for line in lines:
                    answer(plc.order(*json.loads(line)))


if __name__ == "__main__":
    main()
