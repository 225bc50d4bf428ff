import CLinux
import IOMMU
import LinuxIO

/// One open `/dev/iommu`: what the loop and the workers make calls on.
package struct KernelHandle: Sendable {
    /// The kernel.
    package let calls: any KernelCalls
    /// The iommufd.
    package let file: KernelFile

    /// An open iommufd.
    package init(_ calls: any KernelCalls, _ file: KernelFile) {
        self.calls = calls
        self.file = file
    }

    func perform<Structure>(
        _ call: KernelCall<Structure>, _ argument: inout Structure
    ) throws(KernelFailure) {
        try calls.perform(call, on: file.number, &argument)
    }

    /// `IOMMU_DESTROY`
    func destroy(_ id: ObjectID) throws(KernelFailure) {
        var argument = clinux_iommu_destroy()
        argument.id = id
        try perform(IOMMUFD.destroy, &argument)
    }

    // MARK: IOAS

    /// What one `IOMMU_IOAS_MAP_FILE` or `IOMMU_IOAS_MAP` says.
    struct Mapping: Sendable {
        /// Where the pages come from.
        enum Source: Sendable {
            /// A memfd, from a byte on.
            case file(Int32, start: UInt64)
            /// This process's own mapping of the file: for kernels before 6.13.
            case memory(UInt64)
        }

        let ioas: ObjectID
        let source: Source
        let length: UInt64
        let access: Access
        /// nil: the kernel chooses.
        let iova: UInt64?
    }

    private static let fixedIOVA: UInt32 = 1
    private static let writeable: UInt32 = 2
    private static let readable: UInt32 = 4

    private static func flags(_ access: Access, isFixed: Bool) -> UInt32 {
        (isFixed ? fixedIOVA : 0) | (access.allowsWriting ? writeable : 0) | (access.allowsReading ? readable : 0)
    }

    /// - Returns: the IOVA.
    func map(_ mapping: Mapping) throws(KernelFailure) -> UInt64 {
        let flags = Self.flags(mapping.access, isFixed: mapping.iova != nil)
        switch mapping.source {
        case .file(let descriptor, let start):
            var argument = clinux_iommu_ioas_map_file()
            (argument.flags, argument.ioas_id, argument.fd) = (flags, mapping.ioas, descriptor)
            (argument.start, argument.length, argument.iova) = (start, mapping.length, mapping.iova ?? 0)
            try perform(IOMMUFD.ioasMapFile, &argument)
            return argument.iova
        case .memory(let address):
            var argument = clinux_iommu_ioas_map()
            (argument.flags, argument.ioas_id, argument.user_va) = (flags, mapping.ioas, address)
            (argument.length, argument.iova) = (mapping.length, mapping.iova ?? 0)
            try perform(IOMMUFD.ioasMap, &argument)
            return argument.iova
        }
    }

    /// - Returns: bytes.
    @discardableResult
    func unmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(KernelFailure) -> UInt64 {
        var argument = clinux_iommu_ioas_unmap()
        (argument.ioas_id, argument.iova, argument.length) = (ioas, iova, length)
        try perform(IOMMUFD.ioasUnmap, &argument)
        return argument.length
    }

    /// One `IOMMU_IOAS_COPY`.
    struct Copy: Sendable {
        let source: ObjectID
        let sourceIOVA: UInt64
        let length: UInt64
        let destination: ObjectID
        /// nil: the kernel chooses.
        let iova: UInt64?
        let access: Access
    }

    /// - Returns: the IOVA in the destination.
    func copy(_ copy: Copy) throws(KernelFailure) -> UInt64 {
        var argument = clinux_iommu_ioas_copy()
        argument.flags = Self.flags(copy.access, isFixed: copy.iova != nil)
        (argument.dst_ioas_id, argument.src_ioas_id) = (copy.destination, copy.source)
        (argument.length, argument.src_iova, argument.dst_iova) = (copy.length, copy.sourceIOVA, copy.iova ?? 0)
        try perform(IOMMUFD.ioasCopy, &argument)
        return argument.dst_iova
    }

    /// `IOMMU_OPTION`
    func option(_ option: UInt32, set: Bool, object: ObjectID, value: UInt64 = 0) throws(KernelFailure) -> UInt64 {
        var argument = clinux_iommu_option()
        (argument.option_id, argument.op) = (option, set ? 0 : 1)
        (argument.object_id, argument.val64) = (object, value)
        try perform(IOMMUFD.option, &argument)
        return argument.val64
    }

    /// What can be mapped, ascending, and what addresses are multiples of. (`IOMMU_IOAS_IOVA_RANGES`)
    func iovaRanges(ioas: ObjectID) throws(KernelFailure) -> (ranges: [AddressRange], alignment: UInt64) {
        var room = 64
        while true {
            var ranges = [clinux_iommu_iova_range](repeating: .init(), count: room)
            var argument = clinux_iommu_ioas_iova_ranges()
            (argument.ioas_id, argument.num_iovas) = (ioas, UInt32(room))
            var failure: KernelFailure?
            ranges.withUnsafeMutableBytes { buffer in
                argument.allowed_iovas = UInt64(UInt(bitPattern: buffer.baseAddress))
                do throws(KernelFailure) { try perform(IOMMUFD.ioasIOVARanges, &argument) } catch { failure = error }
            }
            let count = Int(argument.num_iovas)
            if let failure {
                // EMSGSIZE tells how many there are; the bound is for a kernel that would tell nonsense.
                guard failure.errno == Errno.EMSGSIZE.rawValue, count > room, count <= 1 << 20 else { throw failure }
                room = count
                continue
            }
            let found = ranges.prefix(count).compactMap { AddressRange(start: $0.start, last: $0.last) }
            return (found, max(argument.out_iova_alignment, 1))
        }
    }
}
