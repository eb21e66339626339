"""Bodies as they are stored: compressed, and lifecycle events with a dictionary of what most of them say.

With it an event takes some 250 bytes in place of 450, and a third of the time. The dictionary is part of what is stored
and never changes: another one gets another number.
"""

import zlib

_LEVEL = 6
_MARK = b"\x01"
"""Before what needs the dictionary. What has none begins otherwise: with the head of a zlib stream."""
_SMALL = 4096
_DICTIONARY = (
    b'"error":{"errorCode":"JOB_EXECUTION_FAILED","message":"BackoffLimitExceeded: Job has reached the specified '
    b'backoff limit"},"log'
    b'Tail":""errorCode":"DEADLINE_EXCEEDED""errorCode":"CANCELLED""results":[{"index":0,"exitCode":1,"res'
    b'ult":,"oomKilled":true,"reason":"OOMKilled""reason":"limit","reason":"priority","reason":"dependencies",'
    b'"position":1"nextAttemptAt":"202"total":1,"succeeded":0,"failed":0,"tracestate":""type":"dev.jobrelay.job.rejected'
    b'""type":"dev.jobrelay.job.progress""type":"dev.jobrelay.job.queued""type":"dev.jobrelay.job.stalled""type":"dev.job'
    b'relay.job.retrying""type":"dev.jobrelay.job.cancelled""type":"dev.jobrelay.job.suspended""type":"dev.jobrelay.job.r'
    b'esumed""type":"dev.jobrelay.job.failed""phase":"failed","duration":,"startedAt":"202-T:Z","finishedAt":"202","exit'
    b'Code":0,"result":{"usage":{"cpu":0.,"memory":,"peakCpu":,"peakMemory":"phase":"started","podId":"","podName":"",'
    b'"node":""function":"","cpu":0.5,"memory":1073741824,"gpus":0,"parallelism":1,"priority":0"phase":"created","jobId":'
    b'"","jobName":"","namespace":"default","request":{"type":"dev.jobrelay.job.requested","eventTime":"2026-"type":"dev.'
    b'jobrelay.job.succeeded","type":"dev.jobrelay.job.started","type":"dev.jobrelay.job.created",{"specversion":"1.0","t'
    b'ype":"dev.jobrelay.job.","datacontenttype":"application/json","subject":"","id":"/succeeded/started/created","sourc'
    b'e":"/namespaces/default/jobs/","time":"2026-","requestsource":"/","causationid":"","correlationid":"","partitionke'
    b'y":"","traceparent":"00-","data":{"id":"","status":0,"detail":{"service":"default","phase":"","attempt":1,"tags":[],'
    b'"metadata":{}}}}'
)


def pack_event(body: bytes) -> bytes:
    """A structured CloudEvent as it is stored."""
    # A small window is made in less time.
    window = (-12, 5) if len(body) <= _SMALL else (-15, 8)
    packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, *window, zdict=_DICTIONARY)
    return _MARK + packing.compress(body) + packing.flush()


def pack(body: bytes) -> bytes:
    """Any bytes as they are stored."""
    return zlib.compress(body, _LEVEL)


def unpack(stored: bytes) -> bytes:
    """What was packed, either way."""
    if not stored.startswith(_MARK):
        return zlib.decompress(stored)
    return zlib.decompressobj(-15, zdict=_DICTIONARY).decompress(stored[1:])
