"""Calls all four methods of the service with the code that protoc made of mission.proto.

Usage: mission.py DIRECTORY ADDRESS: where that code is, and where the server is.
Prints what it got as one JSON object.
"""

import json
import sys

import grpc


def main():
    directory, address = sys.argv[1:]
    sys.path.insert(0, directory)
    import mission_pb2
    import mission_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        service = mission_pb2_grpc.IDGeneratorStub(channel)
        one = service.GenerateID(mission_pb2.GenerateIDRequest(), timeout=10)
        many = service.GenerateBatch(mission_pb2.GenerateBatchRequest(count=100), timeout=10)
        parts = service.ParseID(mission_pb2.ParseIDRequest(id=one.id), timeout=10)
        health = service.HealthCheck(mission_pb2.HealthCheckRequest(), timeout=10)
        try:
            service.GenerateBatch(mission_pb2.GenerateBatchRequest(count=4097), timeout=10)
            refused = "nothing"
        except grpc.RpcError as error:
            refused = error.code().name
    print(json.dumps({
        "id": one.id,
        "ids": list(many.ids),
        "timestamp_ms": parts.timestamp_ms,
        "datacenter_id": parts.datacenter_id,
        "worker_id": parts.worker_id,
        "sequence": parts.sequence,
        "status": health.status,
        "health_datacenter_id": health.datacenter_id,
        "health_worker_id": health.worker_id,
        "uptime_seconds": health.uptime_seconds,
        "ids_generated": health.ids_generated,
        "refused": refused,
    }))


main()
