import CLinux
import Glibc
import IOMMU
import KernelIOMMU

extension FakeState {
    mutating func allocate(_ fd: Int32, _ call: inout clinux_iommu_hwpt_alloc) -> Int32 {
        guard case .device? = contexts[fd]?.objects[call.dev_id] else { return ENOENT }
        let fault: UInt32? = call.flags & 4 == 0 ? nil : call.fault_id
        if let fault { guard case .fault? = contexts[fd]?.objects[fault] else { return ENOENT } }
        switch contexts[fd]?.objects[call.pt_id] {
        case .ioas:
            guard [0, 1, 2, 8, 10].contains(call.flags & ~4), call.flags & 5 != 5 else { return EOPNOTSUPP }
            call.out_hwpt_id = insert(
                fd, .hwpt(FakeHWPT(ioas: call.pt_id, flags: call.flags, isAutomatic: false, fault: fault)))
            return 0
        case .viommu(let parent):
            guard call.data_type == 2, call.data_len == 16, let below = hwpt(fd, parent) else { return EINVAL }
            let words = UnsafePointer<UInt64>(bitPattern: UInt(call.data_uptr))
            guard let words, words[0] >> 60 == 0 || words[0] >> 59 != 0, words[1] >> 63 == 0 else { return EIO }
            call.out_hwpt_id = insert(
                fd,
                .hwpt(
                    FakeHWPT(ioas: below.ioas, flags: call.flags, isAutomatic: false, fault: fault, viommu: call.pt_id))
            )
            return 0
        default: return EINVAL
        }
    }

    func info(_ fd: Int32, _ call: inout clinux_iommu_hw_info) -> Int32 {
        guard case .device(let file)? = contexts[fd]?.objects[call.dev_id] else { return ENOENT }
        call.out_data_type = 2
        call.out_max_pasid_log2 = files[file]?.device?.pasidBits ?? 0
        call.out_capabilities = 1
        let words = UnsafeMutablePointer<clinux_iommu_hw_info_arm_smmuv3>(bitPattern: UInt(call.data_uptr))
        words?.pointee.idr.0 = 0x12345678
        words?.pointee.aidr = 1
        return 0
    }

    func readDirty(_ fd: Int32, _ call: clinux_iommu_hwpt_get_dirty_bitmap) -> Int32 {
        guard let table = hwpt(fd, call.hwpt_id) else { return ENOENT }
        guard table.flags & 2 != 0 else { return EOPNOTSUPP }
        let words = UnsafeMutablePointer<UInt64>(bitPattern: UInt(call.data))
        for page in table.dirty where page >= call.iova && page - call.iova < call.length {
            let bit = (page - call.iova) / call.page_size
            words?[Int(bit / 64)] |= 1 << (bit % 64)
        }
        return 0
    }

    func invalidate(_ fd: Int32, _ call: inout clinux_iommu_hwpt_invalidate) -> Int32 {
        guard case .viommu? = contexts[fd]?.objects[call.hwpt_id] else { return ENOENT }
        let words = UnsafePointer<UInt64>(bitPattern: UInt(call.data_uptr))
        for index in 0..<Int(call.entry_num) {
            // TLBI_NH_ALL to TLBI_NSNH_ALL, ATC_INV, CFGI_CD and CFGI_CD_ALL.
            let isAllowed = [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40].contains((words?[index * 2] ?? 0) & 0xff)
            guard isAllowed else {
                call.entry_num = UInt32(index)
                return EIO
            }
        }
        return 0
    }

    mutating func allocateFault(_ fd: Int32, _ call: inout clinux_iommu_fault_alloc) -> Int32 {
        guard call.flags == 0 else { return EOPNOTSUPP }
        guard let ends = try? FakeKernel.pair("a fault queue") else { return EMFILE }
        call.out_fault_id = insert(fd, .fault(peer: ends.1))
        call.out_fault_fd = ends.0
        return 0
    }

    mutating func allocateVIOMMU(_ fd: Int32, _ call: inout clinux_iommu_viommu_alloc) -> Int32 {
        guard call.flags == 0, call.type == 1 else { return EOPNOTSUPP }
        guard case .device? = contexts[fd]?.objects[call.dev_id], let parent = hwpt(fd, call.hwpt_id) else {
            return ENOENT
        }
        guard parent.flags & 1 != 0 else { return EINVAL }
        call.out_viommu_id = insert(fd, .viommu(hwpt: call.hwpt_id))
        return 0
    }

    mutating func allocateVDevice(_ fd: Int32, _ call: inout clinux_iommu_vdevice_alloc) -> Int32 {
        guard case .viommu? = contexts[fd]?.objects[call.viommu_id], case .device? = contexts[fd]?.objects[call.dev_id]
        else { return ENOENT }
        call.out_vdevice_id = insert(fd, .vdevice(viommu: call.viommu_id, device: call.dev_id))
        return 0
    }

    mutating func allocateVEventQueue(_ fd: Int32, _ call: inout clinux_iommu_veventq_alloc) -> Int32 {
        guard case .viommu? = contexts[fd]?.objects[call.viommu_id] else { return ENOENT }
        guard call.veventq_depth > 0 else { return EINVAL }
        guard let ends = try? FakeKernel.pair("a veventq") else { return EMFILE }
        call.out_veventq_id = insert(fd, .veventq(viommu: call.viommu_id, peer: ends.1))
        call.out_veventq_fd = ends.0
        return 0
    }

    // MARK: What devices do

    private func file(_ path: String) -> File? { files.values.first { $0.device?.path == path && $0.bound != nil } }

    mutating func fault(_ path: String, address: UInt64, pasid: UInt32?, last: Bool) -> Bool {
        guard let file = file(path), let bound = file.bound, let id = file.attachments[pasid ?? 0],
            let queue = hwpt(bound.context, id)?.fault,
            case .fault(let peer)? = contexts[bound.context]?.objects[queue]
        else { return false }
        var message = clinux_iommu_hwpt_pgfault()
        if last { lastCookie += 1 }
        message.flags = (pasid == nil ? 0 : 1) | (last ? 2 : 0)
        (message.dev_id, message.pasid, message.perm) = (bound.id, pasid ?? 0, 1)
        (message.addr, message.cookie) = (address, last ? lastCookie : lastCookie + 1)
        if last { contexts[bound.context]?.cookies.insert(lastCookie) }
        return withUnsafeBytes(of: message) { send(peer, $0.baseAddress, $0.count, 0) == $0.count }
    }

    func event(_ path: String, _ record: [UInt64]?, sequence: UInt32) -> Bool {
        guard let bound = file(path)?.bound, let objects = contexts[bound.context]?.objects else { return false }
        for case .veventq(_, let peer) in objects.values {
            var bytes = withUnsafeBytes(of: (record == nil ? UInt32(1) : 0, sequence)) { Array($0) }
            for word in record ?? [] { bytes += withUnsafeBytes(of: word.littleEndian) { Array($0) } }
            return send(peer, bytes, bytes.count, 0) == bytes.count
        }
        return false
    }

    func takeResponses() -> [(cookie: UInt32, code: UInt32)] {
        var all: [(UInt32, UInt32)] = []
        for context in contexts.values {
            for case .fault(let peer) in context.objects.values {
                var message = clinux_iommu_hwpt_page_response()
                while recv(peer, &message, MemoryLayout.size(ofValue: message), Int32(MSG_DONTWAIT)) > 0 {
                    all.append((message.cookie, message.code))
                }
            }
        }
        return all
    }

    mutating func dirty(_ path: String, iova: UInt64) {
        guard let file = file(path), let bound = file.bound, let id = file.attachments[0],
            var table = hwpt(bound.context, id)
        else { return }
        table.dirty.insert(iova)
        contexts[bound.context]?.objects[id] = .hwpt(table)
    }

    // MARK: vfio

    mutating func controlDevice(_ fd: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        switch number {
        case 0x3b76: Self.with(argument, clinux_vfio_device_bind_iommufd.self) { bind(fd, &$0) }
        case 0x3b77: Self.with(argument, clinux_vfio_device_attach_iommufd_pt.self) { attach(fd, &$0) }
        case 0x3b78:
            Self.with(argument, clinux_vfio_device_detach_iommufd_pt.self) { call in
                guard let bound = files[fd]?.bound else { return EINVAL }
                if let hwpt = files[fd]?.attachments.removeValue(forKey: call.flags & 1 == 0 ? 0 : call.pasid) {
                    drop(hwpt, of: bound.context, besides: nil)
                }
                return 0
            }
        default: ENOTTY
        }
    }

    private mutating func bind(_ fd: Int32, _ call: inout clinux_vfio_device_bind_iommufd) -> Int32 {
        guard let device = files[fd]?.device, files[fd]?.bound == nil else { return EINVAL }
        let context = FakeKernel.file(call.iommufd)
        guard contexts[context] != nil else { return EBADFD }
        guard device.isViable else { return EPERM }
        for other in files.values {
            guard let bound = other.bound, other.device?.group == device.group else { continue }
            if other.device?.path == device.path { return EINVAL }
            if bound.context != context { return EPERM }
        }
        call.out_devid = insert(context, .device(fd))
        files[fd]?.bound = (context, call.out_devid)
        return 0
    }

    private mutating func attach(_ fd: Int32, _ call: inout clinux_vfio_device_attach_iommufd_pt) -> Int32 {
        guard let file = files[fd], let bound = file.bound else { return EINVAL }
        let key = call.flags & 1 == 0 ? 0 : call.pasid
        let target: UInt32
        switch contexts[bound.context]?.objects[call.pt_id] {
        case .hwpt: target = call.pt_id
        case .ioas(let space):
            let isInTheWay = space.mappings.contains { mapping in
                file.device?.reserved.contains { $0.start <= mapping.last && mapping.start <= $0.last } ?? false
            }
            guard !isInTheWay else { return EADDRINUSE }
            guard file.device?.isEmulated != true else {
                files[fd]?.attachments[key] = call.pt_id
                return 0
            }
            target = automatic(bound.context, ioas: call.pt_id)
        case nil: return ENOENT
        default: return EINVAL
        }
        let siblings = files.filter { $0.key != fd && $0.value.device?.group == file.device?.group }
        if file.attachments[key] == nil, siblings.contains(where: { $0.value.attachments[key] ?? target != target }) {
            drop(target, of: bound.context, besides: nil)
            return EINVAL
        }
        let old = files[fd]?.attachments.updateValue(target, forKey: key)
        if old != nil {
            for key in siblings.keys where files[key]?.attachments[0] != nil { files[key]?.attachments[0] = target }
        }
        if let old, old != target { drop(old, of: bound.context, besides: nil) }
        call.pt_id = target
        return 0
    }

    private mutating func automatic(_ context: Int32, ioas: UInt32) -> UInt32 {
        for (id, object) in contexts[context]?.objects ?? [:] {
            if case .hwpt(let hwpt) = object, hwpt.isAutomatic, hwpt.ioas == ioas { return id }
        }
        return insert(context, .hwpt(FakeHWPT(ioas: ioas, flags: 0, isAutomatic: true)))
    }
}
