import Glibc
import IOMMU
import JSONRPC

private enum OperationChoice: String, ParameterChoice {
    case copy
    case fill
    case checksum
}

/// `queue.*`: queues of accelerators that work on the addresses of a process.
func declareQueueMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("queue.open", "Open a queue of an accelerator for an address space.", changesState: true) { m in
        let device = m.param("device", .id, "The device object of an accelerator.")
        let mm = m.param("mm", .id, "The address space that it works on.")
        let queue = m.result("queue", .count, "The queue.")
        let pasid = m.result("pasid", .count, "The PASID of the bond that it shares.")
        let state = m.result("state", .choice(queueStates), "init")
        m.needs(.acceleratorQueues)
        m.refuses(.bond, .looking)
        m.refuses(.ENODEV, .noQueues, "The device is no accelerator.")
        m.refuses(.EBUSY, .queuesInUse, "All its queues are open.")
        return { call, service in
            let queues = try service.acceleratorQueues(call)
            let (device, mm) = (call[device], call[mm])
            return try service.lookingFirst(call, at: mm) { () throws(IOMMUError) in
                let opened = try queues.openQueue(device: device, mm: mm)
                return (opened, try queues.queueState(opened.queue).state)
            } write: { reply, made in
                service.watchAddressSpaces()
                reply.set(queue, made.0.queue)
                reply.set(pasid, made.0.pasid)
                reply.set(state, made.1.rawValue)
            }
        }
    }

    let started = Refusals(.EINVAL, .queueStarted, "It has been started.")
    declareQueueChange(&methods, "queue.start", "Let a queue take work.", Refusals(.queueEnded, .looking, started)) {
        (queues, queue) throws(IOMMUError) in try queues.startQueue(queue)
    }
    declareQueueChange(&methods, "queue.stop", "Let a queue take no more work.", Refusals(.queueEnded, .looking)) {
        (queues, queue) throws(IOMMUError) in try queues.stopQueue(queue)
    }
    declareQueueClose(&methods)
    declareSubmission(&methods)
}

private let queueStates = QueueState.allCases.map(\.rawValue)

private func declareQueueClose(_ methods: inout MethodTable<Service>) {
    methods.declare("queue.close", "Close a queue; always works.", changesState: true) { m in
        let queue = m.param("queue", .id, "The queue.")
        let state = m.result("state", .choice(queueStates), "The state it was in.")
        m.needs(.acceleratorQueues)
        m.refuses(.unknownQueue)
        return { call, service in
            let reached = try service.acceleratorQueues(call).closeQueue(call[queue])
            return call.reply { $0.set(state, reached.rawValue) }
        }
    }
}

/// What is refused to a queue whose address space has ended.
private func declareQueueChange(
    _ methods: inout MethodTable<Service>, _ name: StaticString, _ summary: String, _ refusals: Refusals,
    _ change: @escaping (any AcceleratorQueues, ObjectID) throws(IOMMUError) -> QueueState
) {
    methods.declare(name, summary, changesState: true) { m in
        let queue = m.param("queue", .id, "The queue.")
        let state = m.result("state", .choice(queueStates), "The state it is in now.")
        m.needs(.acceleratorQueues)
        m.refuses(refusals)
        return { call, service in
            let (queues, queue) = (try service.acceleratorQueues(call), call[queue])
            let mm = try queues.queueState(queue).mm
            return try service.lookingFirst(call, at: mm) { () throws(IOMMUError) in
                try change(queues, queue)
            } write: { reply, reached in
                reply.set(state, reached.rawValue)
            }
        }
    }
}

private func declareSubmission(_ methods: inout MethodTable<Service>) {
    methods.declare("queue.submit", "Give a queue work on its process's own addresses.", changesState: true) { m in
        let queue = m.param("queue", .id, "The queue, started.")
        let operation = m.param("op", .choice(OperationChoice.self), "What to do.")
        let source = m.optional("src", .address, "For copy and checksum: first byte to read.")
        let destination = m.optional("dst", .address, "For copy and fill: first byte to write.")
        let length = m.param("length", .address, "Bytes.")
        let value = m.param("value", .count(0...255), default: 0, "For fill: the byte.")
        let timeout = m.optional("timeout_ms", .count(0...3_600_000), "End a stalled access after so long.")
        let completed = m.result("completed", .count, "Bytes done: all of them.")
        let checksum = m.optionalResult("checksum", .count, "CRC-32 as in zlib.")
        m.needs(.acceleratorQueues)
        m.refuses(.queueEnded, .access)
        m.refuses(.EINVAL, .queueNotStarted, "It is not started.")
        m.refuses(.ECANCELED, .queueStopped, "The queue was stopped meanwhile.")
        m.refusesParameters("invalid_params", "`op` needs a parameter that is missing.")
        return { call, service in
            let queues = try service.acceleratorQueues(call)
            let work: QueueOperation =
                switch call[operation] {
                case .copy:
                    .copy(
                        source: try need(call[source], "src"), destination: try need(call[destination], "dst"),
                        length: call[length])
                case .fill:
                    .fill(
                        destination: try need(call[destination], "dst"), length: call[length],
                        value: UInt8(truncatingIfNeeded: call[value]))
                case .checksum:
                    .checksum(source: try need(call[source], "src"), length: call[length])
                }
            return try service.access(call, queues, timeout: call[timeout]) { done throws(IOMMUError) in
                try queues.submit(call[queue], work, completion: done)
            } write: { reply, result in
                reply.set(completed, result.completed)
                if let sum = result.checksum { reply.set(checksum, sum) }
            }
        }
    }
}

/// A parameter that this operation cannot do without.
private func need(_ value: UInt64?, _ name: String) throws -> UInt64 {
    guard let value else {
        throw RPCError(
            code: RPCError.invalidParams, errno: EINVAL, reason: "invalid_params",
            message: "parameter “\(name)” is missing", hint: "give it, or another op that does not need it"
        ).with("parameter", .string(name))
    }
    return value
}
