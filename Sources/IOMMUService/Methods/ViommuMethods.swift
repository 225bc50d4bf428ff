import IOMMU
import JSONRPC

private struct VirtualEventFields {
    let sequence: Field<Count>
    let lost: Field<Bool>
    let record: Field<ListOf<Hex>>

    static var type: ResultType<ObjectOf<VirtualEventFields>> {
        .object { event in
            VirtualEventFields(
                sequence: event.result("sequence", .count, "Counts every event, lost ones too."),
                lost: event.optionalResult("lost", .bool, "True: events found the queue full here."),
                record: event.optionalResult(
                    "record", .array(of: .hex), "The event record's four words; absent if `lost`.")
            )
        }
    }
}

/// `viommu.*`, `vdevice.*`, `veventq.*`: what a guest's own SMMU needs.
func declareViommuMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("viommu.alloc", "Make a virtual IOMMU on a nest-parent hwpt.", changesState: true) { m in
        let device = m.param("device", .id, "A device behind the physical SMMU.")
        let hwpt = m.param("hwpt", .id, "The nest parent.")
        let type = m.param("type", .string(maximumBytes: 64), "arm_smmuv3")
        let viommu = m.result("viommu", .count, "The viommu.")
        m.refuses(.device, .unknownHWPT, .room, .wrongType, .noNesting, .otherSMMU, .kernel)
        m.refuses(.EINVAL, .notANestParent, "The hwpt was not allocated with nest_parent.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginAllocateVIOMMU(
                device: call[device], hwpt: call[hwpt], type: call[type])
            return service.reply(call, session, answer, viommu) { $0.set($1, $2) }
        }
    }

    methods.declare("vdevice.alloc", "Give a device its StreamID in the guest.", changesState: true) { m in
        let viommu = m.param("viommu", .id, "The viommu.")
        let device = m.param("device", .id, "The device object.")
        let virtualID = m.param("virt_id", .unsigned(), "The virtual StreamID.")
        let vdevice = m.result("vdevice", .count, "The vdevice.")
        m.refuses(.unknownVIOMMU, .device, .room, .otherSMMU, .kernel)
        m.refuses(.EEXIST, .vdeviceExists, "The device has one already.")
        m.refuses(.EEXIST, .virtualIDTaken, "Another device of the viommu has it.")
        m.refuses(.EINVAL, .badVirtualID, "A StreamID has 32 bits.")
        m.refuses(.EOPNOTSUPP, .severalStreams, "The device has more than one StreamID.")
        return { call, service in
            let context = try service.context(call)
            let made = try context.allocateVDevice(
                viommu: call[viommu], device: call[device], virtualID: call[virtualID])
            return call.reply { $0.set(vdevice, made) }
        }
    }

    declareVirtualEvents(&methods)
}

private func declareVirtualEvents(_ methods: inout MethodTable<Service>) {
    methods.declare("veventq.alloc", "Make a queue for the events of a viommu's guest.", changesState: true) { m in
        let viommu = m.param("viommu", .id, "The viommu.")
        let type = m.param("type", .string(maximumBytes: 64), "arm_smmuv3")
        let depth = m.param("depth", .count(), "Events that it holds.")
        let queue = m.result("veventq", .count, "The queue.")
        m.refuses(.unknownVIOMMU, .room, .wrongType, .descriptors, .stored, .kernel)
        m.refuses(.EEXIST, .veventqExists, "The viommu has a queue of this type.")
        m.refuses(.EINVAL, .badDepth, "The depth is zero or too large.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginAllocateVEventQueue(
                viommu: call[viommu], type: call[type], depth: call[depth])
            return service.reply(call, session, answer, queue) { $0.set($1, $2) }
        }
    }

    methods.declare("veventq.read", "Take events from a queue.", changesState: true) { m in
        let queue = m.param("veventq", .id, "The queue.")
        let max = m.param("max", .count(1...65_536), default: 64, "At most so many.")
        let timeout = m.optional("timeout_ms", .count(0...3_600_000), "Wait so long for the first; absent: not at all.")
        let events = m.result("events", .array(of: VirtualEventFields.type), "The events; empty if there are none.")
        m.refuses(.unknownVEventQ, .stopping)
        return { call, service in
            let (id, limit) = (call[queue], Int(call[max]))
            return try service.readQueue(call, waiting: call[timeout]) { context throws(IOMMUError) in
                try context.readVirtualEvents(id, max: limit)
            } write: {
                $0.write($1, events)
            }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ events: [VirtualEvent], _ field: Field<ListOf<ObjectOf<VirtualEventFields>>>) {
        set(field) { list in
            for event in events {
                list.append { object, fields in
                    object.set(fields.sequence, event.sequence)
                    // As in iommufd, no data follows the header that says lost.
                    guard !event.lost else { return object.set(fields.lost, true) }
                    object.set(fields.record) { words in for word in event.record { words.append(word) } }
                }
            }
        }
    }
}
