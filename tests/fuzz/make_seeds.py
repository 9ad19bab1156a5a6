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


GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "proto" / "golden"


def golden(wire, key, direction="decode"):
    """Values of one key in the golden frames: hex becomes bytes."""
    for file in sorted((GOLDEN / wire).iterdir()):
        lines = [line.partition(": ")[::2] for line in file.read_text().splitlines()]
        fields = [value for name, value in lines if name.rstrip(":") == key]
        if dict(lines).get("direction") == direction and fields:
            yield bytes.fromhex("".join(fields)) if key in ("bytes", "protobuf") else "".join(fields).encode()


def delimited(message):
    assert len(message) < 16384
    n = len(message)
    return (bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])) + message


def emulation(commands):
    return b"\x0a\x01n\x12\x01s\x1a" + delimited(commands)


TEXT = '{"name":"pysäkki","list":[1,2,3,4,5,6,7,8,9],"note":"日本日本日本日本"}'.encode()
CHANGED = TEXT.replace(b"4,5", b"5").replace("本日本".encode(), "木日本".encode())

SEEDS = {
    "typed": list(golden("typed", "bytes")),
    "channels_json": [b"\n".join(golden("channels", "json")), *golden("channels", "json")],
    "channels_protobuf": [delimited(message) for message in golden("channels", "protobuf")],
    "channels_emulation": [
        b'{"session":"s","node":"n","data":"{\\"id\\":2,\\"subscribe\\":{\\"channel\\":\\"e\\"}}\\n{}"}',
        b'{"session":"s","data":{"id":1}}',
        *(emulation(delimited(message)) for message in golden("channels", "protobuf") if len(message) < 120),
    ],
    "fossil": [
        len(TEXT).to_bytes(2, "big") + TEXT + CHANGED,
        len(TEXT).to_bytes(2, "big") + TEXT + TEXT[40:] + TEXT,
        b"\0\3abc3\n3@0,1XObC0;",
        b"\0\3abc3\n3:abc1XObC0;",
    ],
    "tag_filter": [
        b'\0{"key":"line","cmp":"in","vals":["550","551",""]}\0{"line":"550"}',
        b'\0{"op":"and","nodes":[{"key":"a","cmp":"gte","val":"-1.50"},{"op":"not","nodes":[{"key":"b","cmp":"ct","val":"x"}]}]}'
        b'\0{"a":"+1.5","b":"\\u0078"}',
        b"\x8a\x12\x01k\x1a\x02eq\x22\x01v" + b'{"k":"v"}',
        b"\x93\x0a\x02or\x32\x0d\x12\x01k\x1a\x02in\x2a\x01a\x2a\x01b" + b'{"k":"b"}',
    ],
    "token": [
        b"\0eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.AAAA",
        b"\0eyJhbGciOiJub25lIn0.e30.",
        b'\1{"sub":"ann","exp":1700000100,"iat":1,"nbf":1.5,"aud":["me"],"iss":"me","jti":"x","info":{"a":1},"meta":{}}',
        b'\1{"channel":"$chat:a","client":"c","b64info":"eyJhIjoxfQ==","expire_at":0,"channels":["a","\\u0062"]}',
        b'\1{"subs":{"a":{"info":1,"b64data":"AAA=","override":{"presence":{"value":true},"force_recovery":{"value":false}}},"b":{}}}',
        b'\2{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a","use":"sig"},'
        b'{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},'
        b'{"kty":"RSA","n":"' + b"u" * 342 + b'","e":"AQAB","alg":"RS256"},{"kty":"oct","k":"AA"}]}',
        b"\3-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    ],
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
