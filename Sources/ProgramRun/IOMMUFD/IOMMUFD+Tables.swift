import Glibc
import JSONRPC
import LinuxIO

/// Hardware page tables, and what a guest's SMMU needs.
extension IOMMUFD {
    private enum TableFlag {
        static let faultID: UInt32 = 4
        static let named: [(bit: UInt32, name: String)] = [(1, "nest_parent"), (2, "dirty_tracking"), (8, "pasid")]
        static let all: UInt32 = 15
    }

    /// `IOMMU_HWPT_DATA_ARM_SMMUV3`, `IOMMU_VIOMMU_TYPE_ARM_SMMUV3` and their kin.
    private enum SMMUv3 {
        static let tableData: UInt32 = 2
        static let information: UInt32 = 2
        static let viommu: UInt32 = 1
        static let invalidation: UInt32 = 1
        static let events: UInt32 = 1
        static let name = "arm_smmuv3"
    }

    /// `IOMMU_HWPT_ALLOC`
    func allocateHWPT(_ argument: inout IOCTLArgument) throws(Refusal) {
        let flags = argument[word32: 4]
        try argument.require(4, only: TableFlag.all)
        try argument.require(20)
        try argument.require(44)
        let (type, length) = (argument[word32: 24], argument[word32: 28])
        guard (type == 0) == (length == 0) else { throw Refusal(EINVAL) }
        let names = TableFlag.named.filter { flags & $0.bit != 0 }.map { JSONValue.string($0.name) }
        argument[word32: 16] = try link.call(
            "hwpt.alloc",
            [
                ("device", .count(UInt64(argument[word32: 8]))), ("pt", .count(UInt64(argument[word32: 12]))),
                ("flags", .array(names)),
                ("fault", flags & TableFlag.faultID != 0 ? .count(UInt64(argument[word32: 40])) : nil),
                ("data", type == 0 ? nil : try tableData(argument, type, length)),
            ]
        ).id("hwpt")
        hasObjects = true
        try argument.respond()
    }

    /// `struct iommu_hwpt_arm_smmuv3`
    private func tableData(
        _ argument: IOCTLArgument, _ type: UInt32, _ length: UInt32
    ) throws(Refusal) -> JSONValue {
        guard type == SMMUv3.tableData else { throw Refusal(EOPNOTSUPP) }
        guard length >= 16 else { throw Refusal(EINVAL) }
        let words = ArgumentBytes(try argument.memory.read(argument[word64: 32], count: 16))
        return .given([
            ("type", .string(SMMUv3.name)), ("ste", .array([.hex(words[word64: 0]), .hex(words[word64: 8])])),
        ])
    }

    private static let capabilities: [(name: String, bit: UInt64)] = [
        ("dirty_tracking", 1), ("pasid_exec", 2), ("pasid_priv", 4), ("ats_not_supported", 8),
    ]

    /// `IOMMU_GET_HW_INFO`
    func hardwareInfo(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4, only: 1)
        guard argument[word32: 4] & 1 != 0 || argument[word32: 24] == 0 else { throw Refusal(EOPNOTSUPP) }
        let wanted = argument[word32: 24]
        guard wanted == 0 || wanted == SMMUv3.information else { throw Refusal(EOPNOTSUPP) }
        let answer = try link.call("device.hw_info", [("device", .count(UInt64(argument[word32: 8])))])
        var data = ArgumentBytes([UInt8](repeating: 0, count: 40))
        for (index, word) in (answer["idr"]?.arrayValue ?? []).prefix(6).enumerated() {
            data[word32: 8 + 4 * index] = UInt32(truncatingIfNeeded: word.unsignedValue ?? 0)
        }
        data[word32: 32] = try answer.id("iidr")
        data[word32: 36] = try answer.id("aidr")
        let room = Int(min(argument[word32: 12], 4096))
        let known = Array(data.bytes.prefix(room))
        try argument.memory.write(
            argument[word64: 16], known + [UInt8](repeating: 0, count: room - known.count))
        argument[word32: 12] = UInt32(data.bytes.count)
        argument[word32: 24] = SMMUv3.information
        argument.fields[word8: 28] = UInt8(truncatingIfNeeded: try answer.number("max_pasid_log2"))
        let names = (answer["capabilities"]?.arrayValue ?? []).compactMap(\.stringValue)
        argument[word64: 32] = Self.capabilities.reduce(0) { $0 | (names.contains($1.name) ? $1.bit : 0) }
        try argument.respond()
    }

    // MARK: Dirty pages

    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`
    func setDirtyTracking(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4, only: 1)
        try argument.require(12)
        try link.call(
            "hwpt.set_dirty_tracking",
            [("hwpt", .count(UInt64(argument[word32: 8]))), ("enable", .bool(argument[word32: 4] & 1 != 0))])
    }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`: adds to what the program's bitmap has already.
    func dirtyBitmap(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(8, only: 1)
        try argument.require(12)
        let answer = try link.call(
            "hwpt.get_dirty_bitmap",
            [
                ("hwpt", .count(UInt64(argument[word32: 4]))), ("iova", .hex(argument[word64: 16])),
                ("length", .hex(argument[word64: 24])), ("page_size", .hex(argument[word64: 32])),
                ("clear", .bool(argument[word32: 8] & 1 == 0)),
            ])
        guard let found = answer["bitmap"]?.stringValue.flatMap(Base64Text.decode) else {
            throw Refusal(EIO, note: "the daemon answers without bitmap")
        }
        let there = try argument.memory.read(argument[word64: 40], count: found.count)
        try argument.memory.write(argument[word64: 40], zip(there, found).map { $0 | $1 })
    }

    // MARK: Guests

    /// More is refused by the kernel, too.
    private static let mostEntries: UInt32 = 1 << 19

    /// `IOMMU_HWPT_INVALIDATE`
    func invalidate(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(28)
        let (type, length, count) = (argument[word32: 16], argument[word32: 20], argument[word32: 24])
        guard type == SMMUv3.invalidation, length <= 4096, count <= Self.mostEntries, count == 0 || length >= 16 else {
            throw Refusal(EINVAL)
        }
        let bytes = try argument.memory.read(argument[word64: 8], count: Int(count) * Int(length))
        let words = ArgumentBytes(bytes)
        let entries = (0..<Int(count)).map { index in
            JSONValue.array([
                .hex(words[word64: index * Int(length)]), .hex(words[word64: index * Int(length) + 8]),
            ])
        }
        let handled = try invalidate(argument[word32: 4], entries)
        argument[word32: 24] = UInt32(handled.count)
        try argument.respond()
        if let refusal = handled.refusal { throw refusal }
    }

    /// - Returns: how many were done, also where one was refused.
    private func invalidate(
        _ target: UInt32, _ entries: [JSONValue]
    ) throws(Refusal) -> (count: Int, refusal: Refusal?) {
        let params: [(String, JSONValue?)] = [
            ("target", .count(UInt64(target))), ("type", .string(SMMUv3.name)), ("entries", .array(entries)),
        ]
        let outcome = try link.outcome("hwpt.invalidate", params)
        switch outcome {
        case .success(let answer): return (Int(try answer.number("handled")), nil)
        case .failure(let error):
            let handled = error.details.first { $0.key == "handled" }?.value.intValue
            return (handled ?? 0, Refusal(error))
        }
    }

    /// `IOMMU_VIOMMU_ALLOC`
    func allocateVIOMMU(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4)
        try argument.require(28)
        guard argument[word32: 8] == SMMUv3.viommu else { throw Refusal(EOPNOTSUPP) }
        argument[word32: 20] = try link.call(
            "viommu.alloc",
            [
                ("device", .count(UInt64(argument[word32: 12]))), ("hwpt", .count(UInt64(argument[word32: 16]))),
                ("type", .string(SMMUv3.name)),
            ]
        ).id("viommu")
        try argument.respond()
    }

    /// `IOMMU_VDEVICE_ALLOC`
    func allocateVDevice(_ argument: inout IOCTLArgument) throws(Refusal) {
        argument[word32: 12] = try link.call(
            "vdevice.alloc",
            [
                ("viommu", .count(UInt64(argument[word32: 4]))), ("device", .count(UInt64(argument[word32: 8]))),
                ("virt_id", .hex(argument[word64: 16])),
            ]
        ).id("vdevice")
        try argument.respond()
    }

    // MARK: Queues

    /// `IOMMU_FAULT_QUEUE_ALLOC`
    func allocateFaultQueue(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4)
        let id = try link.call("fault.alloc").id("fault")
        hasObjects = true
        argument[word32: 8] = id
        argument[word32: 12] = UInt32(bitPattern: try open(.faults, id, for: argument.memory.call))
        try argument.respond()
    }

    /// `IOMMU_VEVENTQ_ALLOC`
    func allocateVEventQueue(_ argument: inout IOCTLArgument) throws(Refusal) {
        try argument.require(4)
        try argument.require(28)
        guard argument[word32: 12] == SMMUv3.events else { throw Refusal(EOPNOTSUPP) }
        let id = try link.call(
            "veventq.alloc",
            [
                ("viommu", .count(UInt64(argument[word32: 8]))), ("type", .string(SMMUv3.name)),
                ("depth", .count(UInt64(argument[word32: 16]))),
            ]
        ).id("veventq")
        argument[word32: 20] = id
        argument[word32: 24] = UInt32(bitPattern: try open(.guestEvents, id, for: argument.memory.call))
        try argument.respond()
    }

    /// Where it cannot be opened there is no queue.
    private func open(_ kind: EventStream.Kind, _ id: UInt32, for call: StoppedCall) throws(Refusal) -> Int32 {
        do throws(Refusal) {
            var theirs: Descriptor?
            let stream = try EventStream(kind, id, of: self, other: &theirs)
            guard let given = theirs.take() else { throw Refusal(EMFILE) }
            let number = try supervisor.give(given, for: call)
            queues[id] = stream
            try listenForEvents()
            return number
        } catch {
            supervisor.noteIfRefused { () throws(Refusal) in
                _ = try link.call("object.destroy", [("id", .count(UInt64(id)))])
            }
            throw error
        }
    }
}
