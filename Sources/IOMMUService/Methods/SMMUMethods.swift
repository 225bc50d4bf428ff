import IOMMU
import JSONRPC

/// What an access does, as clients name it.
enum AccessChoice: String, ParameterChoice {
    case read
    case write
    case execute

    var kind: AccessKind {
        switch self {
        case .read: .read
        case .write: .write
        case .execute: .execute
        }
    }
}

/// `smmu.*`: looking into the emulated hardware, without side effects.
func declareSMMUMethods(_ methods: inout MethodTable<Service>) {
    declareTranslation(&methods)
    declareStructures(&methods)
    declareRegisters(&methods)
    declareTraces(&methods)
    declareCacheMethods(&methods)
}

private func declareTranslation(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.translate", "What an access would meet now; nothing is recorded, cached or changed.") { m in
        let target = StreamParameters(m)
        let pasid = m.optional("pasid", .count(0...0xf_ffff), "The PASID of the access, 20 bits; absent: none.")
        let iova = m.param("iova", .address, "Its address.")
        let access = m.param("access", .choice(AccessChoice.self), default: .read, "What it does.")
        let privileged = m.param("privileged", .bool, default: false, "Whether it is privileged.")
        let trace = m.param("trace", .bool, default: false, "Whether to show each step of the walk.")
        let fields = TranslationFields(m)
        return { call, service in
            let (inspection, stream) = try target.stream(call, service)
            let transaction = TransactionRequest(
                streamID: stream.streamID, pasid: call[pasid], address: call[iova], access: call[access].kind,
                privileged: call[privileged])
            let wantsSteps = call[trace]
            let found = try inspection.translate(smmu: stream.smmu, transaction, trace: wantsSteps)
            return call.reply { reply in
                reply.write(found, fields)
                if wantsSteps { reply.write(found.steps, fields) }
            }
        }
    }
}

private func declareStructures(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.ste", "The STE of a stream, as it lies in memory and decoded.") { m in
        let target = StreamParameters(m)
        let fields = StructureFields(m)
        m.refuses(.ENOENT, .noSTE, "The stream table does not reach that StreamID.")
        return { call, service in
            let (inspection, stream) = try target.stream(call, service)
            let entry = try inspection.streamTableEntry(of: stream)
            return call.reply { $0.write(entry, fields) }
        }
    }

    methods.declare("smmu.cd", "A context descriptor of a stream, as it lies in memory and decoded.") { m in
        let target = StreamParameters(m)
        let substreamID = m.param("substream_id", .count(), default: 0, "Its PASID; 0: the device's own.")
        let fields = StructureFields(m)
        m.refuses(.ENOENT, .noCD, "There is no such context descriptor.")
        return { call, service in
            let (inspection, stream) = try target.stream(call, service)
            let descriptor = try inspection.contextDescriptor(of: stream, substreamID: call[substreamID])
            return call.reply { $0.write(descriptor, fields) }
        }
    }
}

private func declareRegisters(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.registers", "Every register of an SMMU.") { m in
        let target = SMMUParameters(m)
        let registers = m.result("registers", .map(of: .hex), "By their names in IHI 0070.")
        m.refuses(.noView)
        return { call, service in
            let (inspection, name) = try target.visibleTarget(call, service)
            let found = try inspection.registers(smmu: name)
            return call.reply { reply in
                reply.set(registers) { map in for register in found { map.set(register.name, register.value) } }
            }
        }
    }
}

private struct TraceParameters {
    let target: SMMUParameters
    let since: Param<UInt64?>
    let limit: Param<UInt32>

    init(_ method: MethodBuilder) {
        target = SMMUParameters(method)
        since = method.optional(
            "since", .unsigned(), "Go on after this sequence number; absent: the last `limit` records.")
        limit = method.param("limit", .count(1...4096), default: 100, "At most so many, oldest first.")
    }
}

private func declareTraces(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.commands", "The commands that the driver has issued, decoded.") { m in
        let trace = TraceParameters(m)
        let commands = m.result(
            "commands", .array(of: .any), "Each {sequence, command, its fields, words}. Others' streams are left out.")
        let last = m.result("last", .count, "The sequence number of the newest command.")
        return { call, service in
            let client = try service.client(call)
            let (inspection, name) = try trace.target.target(call, service)
            let found = try inspection.commands(
                smmu: name, since: call[trace.since], limit: Int(call[trace.limit]),
                scope: service.inspectionScope(client))
            return call.reply { reply in
                reply.set(commands) { list in
                    for (sequence, command) in found.records { list.append(command.json(sequence: sequence)) }
                }
                reply.set(last, found.last)
            }
        }
    }

    declareSMMUEvents(&methods)
}

private func declareSMMUEvents(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.events", "The events that an SMMU has recorded, decoded.") { m in
        let trace = TraceParameters(m)
        let events = m.result(
            "events", .array(of: .any), "Each {sequence, type, stream_id, …, record}. Others' streams are left out.")
        let last = m.result("last", .count, "The sequence number of the newest event.")
        return { call, service in
            let client = try service.client(call)
            let (inspection, name) = try trace.target.target(call, service)
            let found = try inspection.events(
                smmu: name, since: call[trace.since], limit: Int(call[trace.limit]),
                scope: service.inspectionScope(client))
            return call.reply { reply in
                reply.set(events) { list in
                    for (sequence, event) in found.records {
                        let members = event.members.map(\.json)
                        list.append(.object([.init(key: "sequence", value: .count(sequence))] + members))
                    }
                }
                reply.set(last, found.last)
            }
        }
    }
}
