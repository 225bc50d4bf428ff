import IOMMU
import JSONRPC

/// `device.*`: binding and attaching.
func declareDeviceMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("device.bind", "Take a device for this session.", changesState: true) { m in
        let name = m.param("name", .string(maximumBytes: 64), "As `topology.list` has it.")
        let device = m.result("device", .count, "The device object.")
        let group = m.result("group", .countOrNull, "The number of its group; null: it has none.")
        m.refuses(.deviceName, .room)
        m.refuses(.EBUSY, .alreadyBound, "This session has bound it already.")
        m.refuses(.EBUSY, .groupOwnedElsewhere, "It, or a device of its group, belongs to another session.")
        m.refuses(.EPERM, .notAllowed, "No `[[allow]]` rule lets this user have it.")
        m.refuses(.EINVAL, .notCacheCoherent, "Its DMA would not be coherent with the caches.")
        m.refuses(.EINVAL, .directRegion, "The firmware goes on using memory through it or a device of its group.")
        m.refuses(.kernel, .iommufd, .binding, .stored)
        return { call, service in
            let client = try service.client(call)
            let wanted = call[name]
            try service.requireBind(client, device: wanted)
            let session = client.session
            func write(_ reply: ResultWriter, _ bound: (device: ObjectID, group: UInt32?)) {
                reply.set(device, bound.device)
                reply.set(group, bound.group)
            }
            switch try session.context.beginBind(deviceNamed: wanted) {
            case .now(let bound):
                service.audit.bound(device: wanted, group: bound.group, by: client)
                return call.reply { write($0, bound) }
            case .later(let deferred):
                return service.later(
                    call, session, deferred,
                    onSuccess: { service.audit.bound(device: wanted, group: $0.group, by: client) }, write: write)
            }
        }
    }

    declareUnbinding(&methods)
    declareHardwareInfo(&methods)
    declareAttachment(&methods)
    declareDetachment(&methods)
    declareExplanation(&methods)
    declareLayoutCheck(&methods)
}

private func declareUnbinding(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "device.unbind", "Give a device back: detached everywhere, then blocked.", changesState: true
    ) { m in
        let device = m.param("device", .id, "The device object.")
        let force = m.param(
            "force", .bool, default: false,
            "Also if its descriptor has been handed out: then it is blocked, and bound until the last copy is closed.")
        m.refuses(.unknownDevice)
        m.refuses(.EBUSY, .exported, "device.export has handed out its descriptor; `force`.")
        return { call, service in
            let client = try service.client(call)
            let session = client.session
            let name = try session.context.name(ofDevice: call[device])
            let export = call[force] ? session.context.descriptorExport : nil
            let answer =
                try export?.beginForcedUnbind(device: call[device])
                ?? session.context.beginUnbind(device: call[device])
            switch answer {
            case .now:
                service.audit.unbound(device: name, by: client)
                return call.reply()
            case .later(let deferred):
                return service.later(
                    call, session, deferred, onSuccess: { _ in service.audit.unbound(device: name, by: client) }
                ) { _, _ in }
            }
        }
    }
}

private func declareHardwareInfo(_ methods: inout MethodTable<Service>) {
    methods.declare("device.hw_info", "What the IOMMU behind a device can do.") { m in
        let device = m.param("device", .id, "The device object.")
        let type = m.result("type", .string, "The kind of IOMMU: arm_smmuv3.")
        let idr = m.result("idr", .array(of: .hex), "IDR0 to IDR5.")
        let iidr = m.result("iidr", .hex, "IIDR.")
        let aidr = m.result("aidr", .hex, "AIDR.")
        let flags = m.result("flags", .array(of: .string), "What its driver has to mind, as errata_repeat_tlbi_cfgi.")
        let capabilities = m.result("capabilities", .array(of: .string), "Such as dirty_tracking, pasid_exec.")
        let maxPASID = m.result("max_pasid_log2", .count, "Bits of its PASIDs; 0: none.")
        m.refuses(.device, .kernel)
        return { call, service in
            let info = try service.context(call).hardwareInfo(device: call[device])
            return call.reply { reply in
                reply.set(type, info.type)
                reply.set(idr) { list in for word in info.idr { list.append(UInt64(word)) } }
                reply.set(iidr, UInt64(info.iidr))
                reply.set(aidr, UInt64(info.aidr))
                reply.set(flags) { list in for name in info.flags { list.append(name) } }
                reply.set(capabilities) { list in for name in info.capabilities { list.append(name) } }
                reply.set(maxPASID, info.maxPASIDLog2)
            }
        }
    }
}

private func declareAttachment(_ methods: inout MethodTable<Service>) {
    methods.declare("device.attach", "Attach a device, or one of its PASIDs.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let pt = m.param("pt", .id, "An IOAS (an automatic hwpt is found or made) or an hwpt.")
        let pasid = m.optional("pasid", .count(), "Absent: the device's own transactions.")
        let hwpt = m.result("hwpt", .count, "What it is attached to.")
        m.refuses(.attachment, .kernel)
        m.refuses(.EBUSY, .alreadyAttached, "It is attached; device.replace moves it.")
        m.refuses(.EINVAL, .groupAttachedElsewhere, "Its group is attached to something else.")
        m.refuses(.EINVAL, .ridNotPASIDCompatible, "The device itself is on an hwpt without the flag pasid.")
        m.refuses(.EBUSY, .pasidTaken, "The PASID belongs to a shared address space.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginAttach(device: call[device], to: call[pt], pasid: call[pasid])
            return service.reply(call, session, answer, hwpt) { $0.set($1, $2) }
        }
    }

    methods.declare("device.replace", "Move a device's whole group to another hwpt at once.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let pt = m.param("pt", .id, "An IOAS or an hwpt.")
        let pasid = m.optional("pasid", .count(), "Absent: the device's own transactions.")
        let hwpt = m.result("hwpt", .count, "What it is attached to now.")
        m.refuses(.attachment, .kernel)
        m.refuses(.EINVAL, .notAttached, "It is not attached.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginReplace(device: call[device], with: call[pt], pasid: call[pasid])
            return service.reply(call, session, answer, hwpt) { $0.set($1, $2) }
        }
    }
}

private func declareDetachment(_ methods: inout MethodTable<Service>) {
    methods.declare("device.detach", "Detach a device, or one of its PASIDs.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let pasid = m.optional("pasid", .count(), "Absent: the device's own transactions.")
        m.refuses(.device, .pasid, .kernel)
        return { call, service in
            let session = try service.client(call).session
            return service.reply(
                call, session, try session.context.beginDetach(device: call[device], pasid: call[pasid]))
        }
    }
}

private func declareExplanation(_ methods: inout MethodTable<Service>) {
    methods.declare("device.explain", "Why a device can or cannot be bound and attached, sibling by sibling.") { m in
        let name = m.param("name", .string(maximumBytes: 64), "As `topology.list` has it.")
        let viable = m.result("viable", .bool, "Whether nothing stands in the way.")
        let reasons = m.result(
            "reasons", .array(of: .any),
            "Each {reason, text, hint, and the objects involved}; of what is mapped or allowed at most 256 places.")
        let group = m.result("group", .countOrNull, "The number of its group; null: it has none.")
        m.refuses(.deviceName)
        return { call, service in
            let client = try service.client(call)
            let wanted = call[name]
            let found = try service.viability(of: wanted, for: client)
            return call.reply { reply in
                reply.set(viable, found.isViable)
                reply.set(reasons) { list in
                    if let refusal = found.refusal { list.append(refusal.problem) }
                    for reason in found.explanation.reasons { list.append(reason.json) }
                }
                reply.set(group, found.explanation.group)
            }
        }
    }
}

private struct CheckedMappingParameters {
    let iova: Param<UInt64>
    let length: Param<UInt64>
}

private func declareLayoutCheck(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.check", "The dry run of a whole guest layout: all problems at once, nothing changed.") { m in
        let device = m.optional("device", .nameOrID, "A single device, by name or id.")
        let devices = m.optional("devices", .array(of: .nameOrID, count: 0...1024), "Devices, by name or id.")
        let mappings = m.param(
            "mappings",
            .array(
                of: .object { mapping in
                    CheckedMappingParameters(
                        iova: mapping.param("iova", .address, "First byte."),
                        length: mapping.param("length", .address, "Bytes.")
                    )
                }), "What would be mapped.")
        let ok = m.result("ok", .bool, "Whether all of it would work.")
        let problems = m.result(
            "problems", .array(of: .any),
            "Each {errno, reason, text, hint?, mapping?: index, device?, objects involved}.")
        return { call, service in
            var selectors = call[devices]?.map { DeviceSelector($0) } ?? []
            if let single = call[device] { selectors.append(DeviceSelector(single)) }
            let layout = call[mappings].map { mapping in
                CheckedMapping(iova: mapping[mapping.fields.iova], length: mapping[mapping.fields.length])
            }
            let client = try service.client(call)
            var found = service.refusals(of: selectors, for: client)
            let more = client.session.context.beginCheck(devices: selectors, mappings: layout)
            var isFine = true
            return call.reply(problems) { list in
                for problem in found { list.append(problem.json) }
                isFine = isFine && found.isEmpty
                guard let piece = more.next() else { return false }
                found = piece
                return true
            } then: { reply in
                reply.set(ok, isFine)
            }
        }
    }
}

extension DeviceSelector {
    fileprivate init(_ parameter: NameOrID) {
        switch parameter {
        case .name(let name): self = .name(name)
        case .id(let id): self = .id(id)
        }
    }
}
