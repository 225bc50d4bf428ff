import IOMMU
import JSONRPC

private struct HWPTData {
    let type: Param<String>
    let ste: Param<IntegerPair>

    static var type: ParamType<Object<HWPTData>> {
        .object { data in
            HWPTData(
                type: data.param("type", .string(maximumBytes: 64), "arm_smmuv3"),
                ste: data.param("ste", .pair(of: .address), "Words 0 and 1 of the guest's STE.")
            )
        }
    }
}

/// `hwpt.*`: hardware page tables.
func declareHWPTMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("hwpt.alloc", "Make a hardware page table, fully formed.", changesState: true) { m in
        let device = m.param("device", .id, "The device that decides the format.")
        let pt = m.param("pt", .id, "An IOAS, or with `data` a viommu.")
        let flags = m.param(
            "flags", .flags(["nest_parent", "dirty_tracking", "pasid"]), default: Flags(bits: 0),
            "nest_parent: a stage 2 that viommus build on; dirty_tracking; pasid: for device.attach with `pasid`.")
        let fault = m.optional("fault", .id, "The fault queue that gets its page faults.")
        let data = m.optional("data", HWPTData.type, "For a nested stage 1: the guest's STE.")
        let hwpt = m.result("hwpt", .count, "The hwpt.")
        m.refuses(.ENOENT, .unknownObject, "`device` or `fault` names no such object of this session.")
        m.refuses(.EINVAL, .wrongKind, "`pt` is unknown or of the wrong kind.")
        m.refuses(.EOPNOTSUPP, .flagsUnsupported, "The IOMMU cannot do that, or not in this combination.")
        m.refuses(.EIO, .illegalVSTE, "The guest's STE has bits that are not allowed.")
        m.refuses(.ENOSPC, .asidExhausted, "No ASID or VMID is left.")
        return { call, service in
            var request = HWPTRequest(device: call[device], pt: call[pt], flags: HWPTFlags(call[flags]))
            request.fault = call[fault]
            if let data = call[data] { request.vste = try guestSTE(data) }
            let session = try service.client(call).session
            let answer = try session.context.beginAllocateHWPT(request)
            return service.reply(call, session, answer, hwpt) { $0.set($1, $2) }
        }
    }

    declareDirtyTracking(&methods)
    declareInvalidation(&methods)
}

private func declareDirtyTracking(_ methods: inout MethodTable<Service>) {
    methods.declare("hwpt.set_dirty_tracking", "Begin or end recording of dirty pages.", changesState: true) { m in
        let hwpt = m.param("hwpt", .id, "The hwpt, allocated with dirty_tracking.")
        let enable = m.param("enable", .bool, "Whether to record.")
        m.refusesUnknown("hwpt", .unknownHWPT)
        m.refuses(.EOPNOTSUPP, .noDirtyTracking, "It was allocated without dirty_tracking.")
        return { call, service in
            try service.context(call).setDirtyTracking(hwpt: call[hwpt], enabled: call[enable])
            return call.reply()
        }
    }

    methods.declare("hwpt.get_dirty_bitmap", "Which pages devices have written.", changesState: true) { m in
        let hwpt = m.param("hwpt", .id, "The hwpt.")
        let iova = m.param("iova", .address, "First byte, a multiple of the IOAS's alignment.")
        let length = m.param("length", .address, "Bytes, a multiple of the IOAS's alignment; no part may be unmapped.")
        let pageSize = m.param("page_size", .address, "Bytes that one bit stands for; a power of two.")
        let clear = m.param(
            "clear", .bool, default: true,
            "Whether to clear what is reported. The hardware keeps dirty state for each page that it maps: clearing "
                + "part of a large one clears all of it, so ask for whole ones, or map with huge_pages off.")
        let bitmap = m.result("bitmap", .base64, "Bit 0 of byte 0 is the first page.")
        let dirty = m.result("dirty", .count, "Dirty pages.")
        m.refusesUnknown("hwpt", .unknownHWPT)
        m.refuses(
            .EINVAL, .badDirtyRange, "The range is unaligned, too large or not mapped, or page_size no power of two."
        )
        return { call, service in
            let request = DirtyRequest(
                iova: call[iova], length: call[length], pageSize: call[pageSize], clear: call[clear])
            let found = try service.context(call).dirtyBitmap(hwpt: call[hwpt], request)
            return call.reply { reply in
                reply.set(bitmap, found.bitmap)
                reply.set(dirty, found.dirty)
            }
        }
    }
}

private func declareInvalidation(_ methods: inout MethodTable<Service>) {
    methods.declare("hwpt.invalidate", "Run a guest's invalidation commands, in order.", changesState: true) { m in
        let target = m.param("target", .id, "A viommu.")
        let type = m.param("type", .string(maximumBytes: 64), "arm_smmuv3")
        let entries = m.param(
            "entries", .array(of: .pair(of: .address), count: 0...100_000), "Commands of two words each."
        )
        let handled = m.result("handled", .count, "Commands that were run: all of them.")
        m.refusesUnknown("target", .unknownObject)
        m.refuses(.EIO, .badCommand, "A command is not one of the eight; `data.handled` ran before it.")
        return { call, service in
            let commands = call[entries].map { ($0.first, $0.second) }
            let session = try service.client(call).session
            let answer = try session.context.beginInvalidate(
                target: call[target], type: call[type], entries: commands)
            return service.reply(call, session, answer, handled) { $0.set($1, $2) }
        }
    }
}

private func guestSTE(_ data: Object<HWPTData>) throws(IOMMUError) -> (UInt64, UInt64) {
    let type = data[data.fields.type]
    guard type == "arm_smmuv3" else {
        throw IOMMUError(
            .EINVAL, .unknownDataType, "\(type) is no type of nested page table here",
            hint: "the SMMUv3 takes arm_smmuv3", ["type": .text(type)]
        )
    }
    let ste = data[data.fields.ste]
    return (ste.first, ste.second)
}

extension HWPTFlags {
    /// From `flags` of hwpt.alloc, whose third name is bit 3 of the uAPI.
    fileprivate init(_ flags: Flags) {
        self = []
        if flags.bits & 1 != 0 { insert(.nestParent) }
        if flags.bits & 2 != 0 { insert(.dirtyTracking) }
        if flags.bits & 4 != 0 { insert(.pasid) }
    }
}
