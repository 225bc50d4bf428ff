import EmulatedIOMMU
import IOMMU
import JSONRPC
import SMMUv3

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
            let (smmu, streamID) = try target.stream(call, service)
            let inspection = try service.emulatedBackend().translate(
                smmu: smmu.name, streamID: streamID, pasid: call[pasid], iova: call[iova], access: call[access].kind,
                privileged: call[privileged], trace: call[trace])
            let (address, wantsSteps) = (call[iova], call[trace])
            return call.reply { reply in
                reply.write(inspection, at: address, fields)
                if wantsSteps { reply.write(inspection.steps, fields) }
            }
        }
    }
}

private func declareStructures(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.ste", "The STE of a stream, as it lies in memory and decoded.") { m in
        let target = StreamParameters(m)
        let fields = StructureFields(m)
        m.refuses(.ENOENT, "no_ste", "The stream table does not reach that StreamID.")
        return { call, service in
            let (smmu, streamID) = try target.stream(call, service)
            let entry = try service.emulatedBackend().ste(smmu: smmu.name, streamID: streamID)
            return call.reply { $0.write(entry.words, entry.fields, fields) }
        }
    }

    methods.declare("smmu.cd", "A context descriptor of a stream, as it lies in memory and decoded.") { m in
        let target = StreamParameters(m)
        let substreamID = m.param("substream_id", .count(), default: 0, "Its PASID; 0: the device's own.")
        let fields = StructureFields(m)
        m.refuses(.ENOENT, "no_cd", "There is no such context descriptor.")
        return { call, service in
            let (smmu, streamID) = try target.stream(call, service)
            let descriptor = try service.emulatedBackend().cd(
                smmu: smmu.name, streamID: streamID, substreamID: call[substreamID])
            return call.reply { $0.write(descriptor.words, descriptor.fields, fields) }
        }
    }
}

private func declareRegisters(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.registers", "Every register of an SMMU.") { m in
        let name = m.param("smmu", .string(maximumBytes: 64), "The SMMU.")
        let registers = m.result("registers", .map(of: .hex), "By their names in IHI 0070.")
        m.refuses(.ENOENT, "unknown_smmu", "There is no SMMU of that name.")
        m.refuses(.EPERM, "not_allowed", "No device of this session is behind it.")
        return { call, service in
            let smmu = try service.emulatedBackend().smmu(named: call[name])
            try service.requireView(try service.client(call), smmu)
            return call.reply { reply in
                reply.set(registers) { map in
                    for register in Register.allCases { map.set(register.name, smmu.smmu.value(of: register)) }
                }
            }
        }
    }
}

private struct TraceParameters {
    let smmu: Param<String>
    let since: Param<UInt64?>
    let limit: Param<UInt32>

    init(_ method: MethodBuilder) {
        smmu = method.param("smmu", .string(maximumBytes: 64), "The SMMU.")
        since = method.optional(
            "since", .unsigned(), "Go on after this sequence number; absent: the last `limit` records.")
        limit = method.param("limit", .count(1...4096), default: 100, "At most so many, oldest first.")
    }

    /// Where to go on so that `limit` records are left of those there are.
    func start(_ call: Call, last: UInt64) -> UInt64 {
        if let since = call[since] { return since }
        let limit = UInt64(call[limit])
        return last > limit ? last - limit : 0
    }
}

private func declareTraces(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.commands", "The commands that the driver half has issued, decoded.") { m in
        let trace = TraceParameters(m)
        let commands = m.result(
            "commands", .array(of: .any), "Each {sequence, command, its fields, words}. Others' streams are left out.")
        let last = m.result("last", .count, "The sequence number of the newest command.")
        m.refuses(.ENOENT, "unknown_smmu", "There is no SMMU of that name.")
        return { call, service in
            let client = try service.client(call)
            let smmu = try service.emulatedBackend().smmu(named: call[trace.smmu])
            let queue = smmu.driver.queue
            let found = queue.commands(since: trace.start(call, last: queue.issued), limit: Int(call[trace.limit]))
            return call.reply { reply in
                reply.set(commands) { list in
                    for (sequence, command) in found where service.maySee(client, smmu, command) {
                        list.append(command.json(sequence: sequence))
                    }
                }
                reply.set(last, queue.issued)
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
        m.refuses(.ENOENT, "unknown_smmu", "There is no SMMU of that name.")
        return { call, service in
            let client = try service.client(call)
            let smmu = try service.emulatedBackend().smmu(named: call[trace.smmu])
            let driver = smmu.driver
            let start = trace.start(call, last: driver.recordedEvents)
            let found = driver.events(since: start, limit: Int(call[trace.limit]))
            return call.reply { reply in
                reply.set(events) { list in
                    for (sequence, event) in found
                    where service.maySee(client, smmu, streamID: event.StreamID) {
                        list.append(.object([.init(key: "sequence", value: .count(sequence))] + event.members()))
                    }
                }
                reply.set(last, driver.recordedEvents)
            }
        }
    }
}

extension Service {
    /// `EPERM` `not_allowed` for an SMMU behind which the client has nothing.
    func requireView(_ client: Client, _ smmu: EmulatedSMMU) throws(IOMMUError) {
        if client.peer.identity.isAdmin { return }
        let owns = emulated?.devices.contains { $0.smmu === smmu && $0.boundBy === client.session.context } ?? false
        guard !owns else { return }
        throw IOMMUError(
            .EPERM, "not_allowed", "no device of this session is behind \(smmu.name)",
            hint: "bind one of its devices first, or ask an administrator", ["smmu": .text(smmu.name)])
    }

    /// Whether the client may see the command: one that names a stream it may look at.
    fileprivate func maySee(_ client: Client, _ smmu: EmulatedSMMU, _ command: Command) -> Bool {
        if client.peer.identity.isAdmin { return true }
        return command.namesStream && maySee(client, smmu, streamID: command.StreamID)
    }
}
