"""Runs calls of the unmodified library cent, one line of JSON each from standard input: {"method", "request"}.

Prints one line each: {"result"} as the library parsed it, or {"error": {"kind", "code", "message"}}.
    pycent_calls.py URL KEY [async]
"""
import asyncio
import json
import sys

import cent

REQUESTS = {
    "publish": cent.PublishRequest,
    "broadcast": cent.BroadcastRequest,
    "subscribe": cent.SubscribeRequest,
    "unsubscribe": cent.UnsubscribeRequest,
    "disconnect": cent.DisconnectRequest,
    "refresh": cent.RefreshRequest,
    "presence": cent.PresenceRequest,
    "presence_stats": cent.PresenceStatsRequest,
    "history": cent.HistoryRequest,
    "history_remove": cent.HistoryRemoveRequest,
    "channels": cent.ChannelsRequest,
    "info": cent.InfoRequest,
}


def build(method, request):
    if method == "batch":
        return cent.BatchRequest(requests=[build(*part) for part in request["requests"]], parallel=request.get("parallel"))
    return REQUESTS[method](**request)


def describe(error):
    return {"error": {"kind": type(error).__name__, "code": getattr(error, "code", None), "message": str(error)}}


def dump(result):
    if isinstance(result, cent.BatchResult):  # as what they are, not as the class they have in common
        return {"replies": [part.model_dump(exclude_none=True) for part in result.replies]}
    return result.model_dump(exclude_none=True)


def report(result):
    print(json.dumps({"result": dump(result)}), flush=True)


def run(url, key):
    client = cent.Client(url, key)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            report(getattr(client, call["method"])(build(call["method"], call["request"])))
        except cent.CentError as error:
            print(json.dumps(describe(error)), flush=True)
    client.close()


async def run_async(url, key):
    client = cent.AsyncClient(url, key)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            report(await getattr(client, call["method"])(build(call["method"], call["request"])))
        except cent.CentError as error:
            print(json.dumps(describe(error)), flush=True)
    await client.close()


if len(sys.argv) > 3:
    asyncio.run(run_async(sys.argv[1], sys.argv[2]))
else:
    run(sys.argv[1], sys.argv[2])
