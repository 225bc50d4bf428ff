import CLinux
import Glibc
import IOMMU
import KernelIOMMU

extension FakeState {
    mutating func controlIOMMUFD(_ fd: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        switch number {
        case 0x3b80: Self.with(argument, clinux_iommu_destroy.self) { destroy(fd, $0.id) }
        case 0x3b81:
            Self.with(argument, clinux_iommu_ioas_alloc.self) {
                $0.out_ioas_id = insert(fd, .ioas(FakeIOAS()))
                return 0
            }
        case 0x3b82: Self.with(argument, clinux_iommu_ioas_allow_iovas.self) { allow(fd, $0) }
        case 0x3b83: Self.with(argument, clinux_iommu_ioas_copy.self) { copy(fd, &$0) }
        case 0x3b84: Self.with(argument, clinux_iommu_ioas_iova_ranges.self) { ranges(fd, &$0) }
        case 0x3b85:
            Self.with(argument, clinux_iommu_ioas_map.self) {
                map(fd, $0.ioas_id, flags: $0.flags, offset: $0.user_va & 4095, length: $0.length, iova: &$0.iova)
            }
        case 0x3b86: Self.with(argument, clinux_iommu_ioas_unmap.self) { unmap(fd, &$0) }
        case 0x3b87: Self.with(argument, clinux_iommu_option.self) { option(fd, &$0) }
        case 0x3b89: Self.with(argument, clinux_iommu_hwpt_alloc.self) { allocate(fd, &$0) }
        case 0x3b8a: Self.with(argument, clinux_iommu_hw_info.self) { info(fd, &$0) }
        case 0x3b8b:
            Self.with(argument, clinux_iommu_hwpt_set_dirty_tracking.self) {
                guard $0.flags <= 1 else { return EOPNOTSUPP }
                return hwpt(fd, $0.hwpt_id) == nil ? ENOENT : 0
            }
        case 0x3b8c: Self.with(argument, clinux_iommu_hwpt_get_dirty_bitmap.self) { readDirty(fd, $0) }
        case 0x3b8d: Self.with(argument, clinux_iommu_hwpt_invalidate.self) { invalidate(fd, &$0) }
        case 0x3b8e: Self.with(argument, clinux_iommu_fault_alloc.self) { allocateFault(fd, &$0) }
        case 0x3b8f:
            Self.with(argument, clinux_iommu_ioas_map_file.self) {
                guard $0.flags <= 7 else { return EOPNOTSUPP }
                return map(fd, $0.ioas_id, flags: $0.flags, offset: $0.start, length: $0.length, iova: &$0.iova)
            }
        case 0x3b90: Self.with(argument, clinux_iommu_viommu_alloc.self) { allocateVIOMMU(fd, &$0) }
        case 0x3b91: Self.with(argument, clinux_iommu_vdevice_alloc.self) { allocateVDevice(fd, &$0) }
        case 0x3b92: 0
        case 0x3b93: Self.with(argument, clinux_iommu_veventq_alloc.self) { allocateVEventQueue(fd, &$0) }
        default: ENOTTY
        }
    }

    mutating func insert(_ fd: Int32, _ object: Object) -> UInt32 { contexts[fd]?.insert(object) ?? 0 }

    func ioas(_ fd: Int32, _ id: UInt32) -> FakeIOAS? {
        if case .ioas(let ioas)? = contexts[fd]?.objects[id] { ioas } else { nil }
    }

    func hwpt(_ fd: Int32, _ id: UInt32) -> FakeHWPT? {
        if case .hwpt(let hwpt)? = contexts[fd]?.objects[id] { hwpt } else { nil }
    }

    private mutating func destroy(_ fd: Int32, _ id: UInt32) -> Int32 {
        guard let context = contexts[fd], let object = context.objects[id] else { return ENOENT }
        switch object {
        case .device: return EBUSY
        case .tombstone: return ENOENT
        case .fault(let peer) where !Self.isClosed(peer), .veventq(_, let peer) where !Self.isClosed(peer):
            return EBUSY
        default: break
        }
        let isUsed = context.objects.values.contains { other in
            switch other {
            case .hwpt(let hwpt): hwpt.ioas == id || hwpt.fault == id || hwpt.viommu == id
            case .viommu(let hwpt): hwpt == id
            case .vdevice(let viommu, _): viommu == id
            case .veventq(let viommu, _): viommu == id
            default: false
            }
        }
        let isAttached = files.values.contains { $0.bound?.context == fd && $0.attachments.values.contains(id) }
        guard !isUsed, !isAttached else { return EBUSY }
        contexts[fd]?.objects[id] = nil
        return 0
    }

    // MARK: IOAS

    /// What devices that are attached to the IOAS reserve.
    private func reserved(_ fd: Int32, _ id: UInt32) -> [AddressRange] {
        files.values.filter { file in
            file.bound?.context == fd && file.attachments.values.contains { hwpt(fd, $0)?.ioas == id }
        }.flatMap { $0.device?.reserved ?? [] }
    }

    func hasHWPT(_ fd: Int32, _ id: UInt32) -> Bool {
        contexts[fd]?.objects.values.contains { if case .hwpt(let hwpt) = $0 { hwpt.ioas == id } else { false } }
            ?? false
    }

    func alignment(_ fd: Int32, _ id: UInt32) -> UInt64 { hasHWPT(fd, id) || ioas(fd, id)?.hugePages == 0 ? 4096 : 1 }

    private func allow(_ fd: Int32, _ call: clinux_iommu_ioas_allow_iovas) -> Int32 {
        guard ioas(fd, call.ioas_id) != nil else { return ENOENT }
        let list = UnsafePointer<clinux_iommu_iova_range>(bitPattern: UInt(call.allowed_iovas))
        let taken = reserved(fd, call.ioas_id)
        for index in 0..<Int(call.num_iovas) {
            guard let range = list?[index], range.start < range.last else { return EINVAL }
            if taken.contains(where: { $0.start <= range.last && range.start <= $0.last }) { return EADDRINUSE }
        }
        return 0
    }

    private func ranges(_ fd: Int32, _ call: inout clinux_iommu_ioas_iova_ranges) -> Int32 {
        guard ioas(fd, call.ioas_id) != nil else { return ENOENT }
        var free: [(UInt64, UInt64)] = []
        var next: UInt64 = 0
        for range in reserved(fd, call.ioas_id).sorted(by: { $0.start < $1.start }) {
            if range.start > next { free.append((next, range.start - 1)) }
            next = range.last &+ 1
        }
        free.append((next, .max))
        let room = Int(call.num_iovas)
        let list = UnsafeMutablePointer<clinux_iommu_iova_range>(bitPattern: UInt(call.allowed_iovas))
        for (index, range) in free.prefix(room).enumerated() {
            list?[index] = clinux_iommu_iova_range(start: range.0, last: range.1)
        }
        call.num_iovas = UInt32(free.count)
        call.out_iova_alignment = alignment(fd, call.ioas_id)
        return free.count > room ? EMSGSIZE : 0
    }

    private mutating func map(
        _ fd: Int32, _ id: UInt32, flags: UInt32, offset: UInt64, length: UInt64, iova: inout UInt64
    ) -> Int32 {
        guard flags & 6 != 0 else { return EINVAL }
        guard var space = ioas(fd, id) else { return ENOENT }
        let step = alignment(fd, id)
        guard length > 0, (length | offset) % step == 0 else { return EINVAL }
        if flags & 1 == 0 {
            iova = (space.mappings.map(\.last).max() ?? 4095) / 4096 * 4096 + 4096 + offset % 4096
        }
        guard iova % step == 0 else { return EINVAL }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { return EOVERFLOW }
        if reserved(fd, id).contains(where: { [iova] in $0.start <= last && iova <= $0.last }) { return EINVAL }
        if space.mappings.contains(where: { [iova] in $0.start <= last && iova <= $0.last }) { return EEXIST }
        space.mappings.append((iova, last, flags & 2 != 0))
        contexts[fd]?.objects[id] = .ioas(space)
        return 0
    }

    private mutating func copy(_ fd: Int32, _ call: inout clinux_iommu_ioas_copy) -> Int32 {
        guard let source = ioas(fd, call.src_ioas_id) else { return ENOENT }
        let last = call.src_iova + (call.length - 1)
        guard
            let piece = source.mappings.first(where: { [start = call.src_iova] in $0.start <= start && last <= $0.last }
            )
        else { return ENOENT }
        guard piece.writable || call.flags & 2 == 0 else { return EPERM }
        return map(
            fd, call.dst_ioas_id, flags: call.flags, offset: call.src_iova % 4096, length: call.length,
            iova: &call.dst_iova)
    }

    private mutating func unmap(_ fd: Int32, _ call: inout clinux_iommu_ioas_unmap) -> Int32 {
        guard var space = ioas(fd, call.ioas_id) else { return ENOENT }
        let last = call.iova == 0 && call.length == .max ? .max : call.iova + (call.length - 1)
        let inside = space.mappings.filter { [iova = call.iova] in $0.start >= iova && $0.last <= last }
        guard !inside.isEmpty else { return ENOENT }
        if let limit = unmapsLeft {
            unmapsLeft = nil
            let gone = Set(inside.sorted { $0.start < $1.start }.prefix(limit).map(\.start))
            space.mappings.removeAll { gone.contains($0.start) }
            contexts[fd]?.objects[call.ioas_id] = .ioas(space)
            return EBUSY
        }
        space.mappings.removeAll { [iova = call.iova] in $0.start >= iova && $0.last <= last }
        contexts[fd]?.objects[call.ioas_id] = .ioas(space)
        call.length = inside.reduce(0) { $0 + ($1.last - $1.start + 1) }
        return 0
    }

    private mutating func option(_ fd: Int32, _ call: inout clinux_iommu_option) -> Int32 {
        guard call.option_id == 1 else { return call.object_id == 0 ? EPERM : EOPNOTSUPP }
        guard var space = ioas(fd, call.object_id) else { return ENOENT }
        guard call.op == 0 else {
            call.val64 = space.hugePages
            return 0
        }
        if call.val64 == 0, hasHWPT(fd, call.object_id), !space.mappings.isEmpty { return EINVAL }
        space.hugePages = call.val64
        contexts[fd]?.objects[call.object_id] = .ioas(space)
        return 0
    }
}
