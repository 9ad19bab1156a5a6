"""Writes a small seed corpus for each fuzz target: make_seeds.py DIRECTORY."""

import pathlib
import sys
import zlib


def frame(first_byte, payload):
    mask = bytes([0x37, 0xFA, 0x21, 0x3D])
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else b"\xfe" + n.to_bytes(2, "big")
    return bytes([first_byte]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def deflated(payload):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (z.compress(payload) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


SEEDS = {
    "ws": [
        b"\x00\x00" + frame(0x81, b"hello"),
        b"\x00\x03" + frame(0x01, "κό".encode()[:3]) + frame(0x89, b"ping") + frame(0x80, "κό".encode()[3:]),
        b"\x02\x07" + frame(0x02, b"a") + frame(0x00, b"b") * 6,
        b"\x01\x05" + frame(0xC1, deflated(b"abc" * 50)) + frame(0x88, b"\x03\xe8bye"),
        b"\x00\x00" + frame(0x82, bytes(300)),
        b"\x00\x00permessage-deflate; server_max_window_bits=10; client_max_window_bits, x",
        b"\x00\x00" + deflated(b"crier " * 100),
        b"\x00\x00\x03\xe8reason",
    ],
    "http1": [
        b"\x05GET /a%20b?x=1&a=%41 HTTP/1.1\r\nHost: a:80\r\nConnection: keep-alive, Upgrade\r\n\r\n",
        b"\x01POST http://h/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        b"\x02POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b"\x035\r\nhello\r\n06;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n",
        b"\x04/a/..%2f%2e%2e/%00",
        b"\x05OPTIONS * HTTP/1.0\r\n\r\n",
    ],
    "hfp": [
        b"/hfp/v2/journey/ongoing/vp/bus/0022/01400/2212/1/Kauniala/11:26/2252204/5/60;24/27/08/15",
        b"/hfp/v2/deadrun/upcoming/tlr/tram/0018/01029/1//A/7:20/EOL/0////12",
        b'{"VP":{"desi":"212","tst":"2025-03-12T10:00:04.751Z","tsi":1741773604,"spd":1.08,"hdg":268,"lat":60.201181,'
        b'"long":24.785763,"dl":-120,"drst":0,"loc":"GPS","stop":2252204,"route":"2212","occu":0}}',
        b'{"DOO":{"lat":null,"long":6.02e1,"drst":true,"x":[{"y":"\\""}],"stop":"a"}}',
    ],
}

for target, seeds in SEEDS.items():
    directory = pathlib.Path(sys.argv[1]) / target
    directory.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds):
        (directory / f"seed-{i:02}").write_bytes(seed)
