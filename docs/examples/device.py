#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A device of one file: MQTT 3.1.1 and coalmine's CBOR with Python's own library, through a whole update.

Usage: device.py HOST PORT DEVICE [SPEED]    e.g. device.py 127.0.0.1 1883 d1
"""
import hashlib, select, socket, struct, sys, time

host, port, me, speed = sys.argv[1], int(sys.argv[2]), sys.argv[3], float((sys.argv + ["1"])[4])
INTERVAL_S = 60


def enc(v):  # CBOR, deterministic: shortest lengths, ascending keys, float64 for real numbers
    def head(major, n):
        for limit, code, form in ((24, None, ""), (2**8, 24, ">B"), (2**16, 25, ">H"), (2**32, 26, ">I"), (2**64, 27, ">Q")):
            if n < limit:
                return bytes([major << 5 | n]) if code is None else bytes([major << 5 | code]) + struct.pack(form, n)
    if v is None or v is True or v is False:
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[v]
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, float):
        return b"\xfb" + struct.pack(">d", v)
    if isinstance(v, (bytes, str)):
        raw = v if isinstance(v, bytes) else v.encode()
        return head(2 if isinstance(v, bytes) else 3, len(raw)) + raw
    pairs = sorted((enc(k), enc(x)) for k, x in v.items())
    return head(5, len(pairs)) + b"".join(k + x for k, x in pairs)


def dec(b, at=0):  # what the host sends: whole numbers, bytes, texts, maps, simple values
    major, n, at = b[at] >> 5, b[at] & 31, at + 1
    if major == 7:
        return {20: False, 21: True, 22: None}[n], at
    if n >= 24:
        size = 1 << (n - 24)
        n, at = int.from_bytes(b[at:at + size], "big"), at + size
    if major == 0:
        return n, at
    if major in (2, 3):
        return (b[at:at + n] if major == 2 else b[at:at + n].decode()), at + n
    out = {}
    for _ in range(n):
        k, at = dec(b, at)
        out[k], at = dec(b, at)
    return out, at


sock = socket.create_connection((host, port))
packet_id, waiting = 0, []  # waiting: messages that came while something else was awaited


def mqtt(kind, body):
    n, length = len(body), b""
    while True:
        n, low = n >> 7, n & 127
        length += bytes([low | (128 if n else 0)])
        if not n:
            return sock.sendall(bytes([kind]) + length + body)


def text(s):
    return struct.pack(">H", len(s)) + s.encode()


def read(n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            sys.exit("the broker closed the connection")
        data += more
    return data


def packet():
    kind, n, shift = read(1)[0], 0, 0
    while True:
        byte = read(1)[0]
        n, shift = n | (byte & 127) << shift, shift + 7
        if byte < 128:
            break
    body = read(n)
    if kind >> 4 == 3:  # PUBLISH: acknowledge QoS 1, keep topic and payload
        end = 2 + struct.unpack(">H", body[:2])[0]
        topic, rest = body[2:end].decode(), body[end:]
        if kind & 6:
            mqtt(0x40, rest[:2])
            rest = rest[2:]
        if rest:  # an empty payload takes a kept offer back: no message
            waiting.append((topic, dec(rest)[0]))
    return kind >> 4, body


def publish(topic, payload, qos=1):
    global packet_id
    packet_id = packet_id % 65535 + 1
    mqtt(0x30 | qos << 1, text(f"c/v1/d/{me}/up/{topic}") + (struct.pack(">H", packet_id) if qos else b"") + payload)
    while qos and packet() != (4, struct.pack(">H", packet_id)):
        pass  # PUBACK: the report is durable, and only now may it be forgotten


def message(wanted, seconds):  # the next message of some kinds (key 1), or None after a while
    end = time.monotonic() + seconds
    while True:
        for i, (_, m) in enumerate(waiting):
            if m[1] in wanted:
                return waiting.pop(i)[1]
        if not select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
            return None
        packet()


# boot never falls, sequence counts the reports of one boot: redelivery is harmless. Keep boot in flash; here, the clock.
boot, sequence, born = int(time.time()), 0, time.monotonic()


def report(kind, body):
    global sequence
    publish("report", enc({0: 1, 1: kind, 2: boot, 3: sequence, 4: int(time.monotonic() - born), 5: body}))
    sequence += 1


running = {0: bytes([1]) * 32, 1: "1.0.0", 2: bytes([1]) * 20, 3: True}  # image hash, version, build id, confirmed


def hello():
    hardware = {0: "example", 1: "revA", 2: "pm1", 3: 0, 4: 1 << 20}  # board, revision, partition map, swap-move, slot size
    report(1, {0: hardware, 1: running, 2: None, 3: 0, 4: None, 5: INTERVAL_S, 6: {"site": "field"}, 7: 0})


def heartbeat():
    report(2, {0: running[0], 1: running[3], 2: None, 3: 1.0, 4: {}})


mqtt(0x10, text("MQTT") + b"\x04\x02" + struct.pack(">H", 60) + text(me))  # CONNECT, clean session; client id is the device id
packet()
mqtt(0x82, b"\x00\x01" + text(f"c/v1/d/{me}/down/#") + b"\x01")
hello()
while True:
    command = message({10, 14}, INTERVAL_S / speed)  # offer, identify
    if command is None or command[1] == 14:
        heartbeat() if command is None else hello()
        continue
    offer = command[5]
    number, digest, image_hash, size, policy = offer[0], offer[4], offer[5], offer[6], offer[8]
    if image_hash == running[0]:
        continue  # it came twice: it is done already
    report(3, {0: number, 1: 0, 2: 0})  # accepted
    image = b""
    while len(image) < size:
        publish("block", enc({0: 1, 1: 20, 5: {0: len(image) // 4096 + 1, 1: digest[:8], 2: len(image), 3: min(4096, size - len(image))}}), qos=0)
        answer = message({21, 22}, 30)
        if answer is None or answer[1] == 22:
            break  # lost, or taken back: a real device tries again from where it is
        image += answer[5][2] if answer[5][1] == len(image) else b""
    if hashlib.sha256(image).digest() != digest:
        report(5, {0: {0: number, 1: image_hash, 2: 5, 3: False, 4: 0}, 1: "the download is not what was offered"})
        continue
    report(3, {0: number, 1: 2, 2: size})  # downloaded
    report(3, {0: number, 1: 3, 2: size})  # applying: the last word before the reboot
    boot, sequence, born = boot + 1, 0, time.monotonic()
    running = {0: image_hash, 1: offer[2], 2: image_hash[:20], 3: False}
    hello()  # on trial
    time.sleep(policy[0] / speed)  # self-tests, and the plan's minimum uptime
    running[3] = True
    heartbeat()  # confirmed
