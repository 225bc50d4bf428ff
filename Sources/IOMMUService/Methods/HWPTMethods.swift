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
        m.refuses(.device, .newTable, .otherSMMU, .noNesting, .noDirtyTracking, .unknownFault, .kernel)
        m.refuses(.EINVAL, .unknownPt, "`pt` names no object of this session.")
        m.refuses(.EINVAL, .wrongKind, "`pt` is neither an IOAS nor a viommu.")
        m.refuses(.EINVAL, .unknownDataType, "`data.type` is none that the IOMMU has.")
        m.refuses(.EOPNOTSUPP, .nestThroughViommu, "`pt` is an hwpt: a nested stage 1 has a viommu.")
        m.refuses(.EOPNOTSUPP, .dataWithoutViommu, "`data` without a viommu as `pt`.")
        m.refuses(.EOPNOTSUPP, .dataRequired, "A viommu as `pt` without `data`.")
        m.refuses(.EOPNOTSUPP, .flagsUnsupported, "The flags do not go together, or not with `fault` or a viommu.")
        m.refuses(.EOPNOTSUPP, .noPASID, "The SMMU has no SubstreamIDs.")
        m.refuses(.EIO, .illegalVSTE, "The guest's STE has bits that are not allowed.")
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
        m.refuses(.unknownHWPT, .noDirtyTracking, .kernel)
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginSetDirtyTracking(hwpt: call[hwpt], enabled: call[enable])
            return service.reply(call, session, answer)
        }
    }

    declareDirtyBitmap(&methods)
}

private func declareDirtyBitmap(_ methods: inout MethodTable<Service>) {
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
        m.refuses(.unknownHWPT, .noDirtyTracking, .wraps, .kernel)
        m.refuses(.EINVAL, .badPageSize, "`page_size` is no power of two.")
        m.refuses(.EINVAL, .misaligned, "`iova` or `length` is no multiple of `page_size`, or `length` is zero.")
        m.refuses(.EINVAL, .notMapped, "A part of the range is not mapped.")
        m.refuses(.EMSGSIZE, .transferTooLarge, "The bitmap would be larger than `limits.transfer_bytes`.")
        return { call, service in
            let request = DirtyRequest(
                iova: call[iova], length: call[length], pageSize: call[pageSize], clear: call[clear])
            let session = try service.client(call).session
            func write(_ reply: ResultWriter, _ found: (bitmap: [UInt8], dirty: UInt64)) {
                reply.set(bitmap, found.bitmap)
                reply.set(dirty, found.dirty)
            }
            switch try session.context.beginDirtyBitmap(hwpt: call[hwpt], request) {
            case .now(let found): return call.reply { write($0, found) }
            case .later(let deferred): return service.later(call, session, deferred, write: write)
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
        m.refuses(.kernel)
        m.refuses(.ENOENT, .unknownPt, "`target` names no object of this session.")
        m.refuses(.EINVAL, .wrongKind, "`target` is no viommu.")
        m.refuses(.EINVAL, .wrongType, "`type` is none that the viommu has.")
        m.refuses(.EOPNOTSUPP, .invalidateThroughViommu, "`target` is a nested hwpt.")
        m.refuses(.EIO, .badCommand, "A command is not one of the eight; `data.handled` ran before it.")
        m.refuses(.EIO, .unknownVirtualID, "A command names a virtual StreamID of no device; as before.")
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
            .EINVAL, .unknownDataType, "“\(type)” is no type of nested page table",
            hint: "give arm_smmuv3", ["type": .text(type)]
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
