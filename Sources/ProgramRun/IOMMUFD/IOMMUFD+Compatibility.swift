import Glibc
import JSONRPC

/// vfio's container as iommufd emulates it: one IOAS behind the old calls.
extension IOMMUFD {
    /// `IOMMU_VFIO_IOAS`
    func compatibleIOAS(_ argument: inout IOCTLArgument) throws(Refusal) {
        guard argument[word16: 10] == 0 else { throw Refusal(EOPNOTSUPP) }
        switch argument[word16: 8] {
        case 0:
            guard let compatIOAS else { throw Refusal(ENODEV) }
            argument[word32: 4] = compatIOAS
            try argument.respond()
        case 1:
            let id = argument[word32: 4]
            // Whether there is such an IOAS.
            try link.call("ioas.get_option", [("ioas", .count(UInt64(id)))])
            compatIOAS = id
        case 2: compatIOAS = nil
        default: throw Refusal(EOPNOTSUPP)
        }
    }

    private enum Number {
        static let version: UInt32 = 100
        static let extensions: UInt32 = 101
        static let setIOMMU: UInt32 = 102
        static let information: UInt32 = 112
        static let map: UInt32 = 113
        static let unmap: UInt32 = 114
    }

    func controlAsVFIO(_ call: ControlCall) throws(Refusal) -> Int64 {
        switch call.number {
        case Number.version: return 0
        case Number.extensions: return Self.has(extension: call.address) ? 1 : 0
        case Number.setIOMMU:
            guard compatIOAS != nil else { throw Refusal(ENODEV) }
            guard call.address == 1 || call.address == 3 else { throw Refusal(EINVAL) }
        case Number.information: try oldInformation(call)
        case Number.map: try oldMap(call)
        case Number.unmap: try oldUnmap(call)
        default: throw Refusal(ENOTTY)
        }
        return 0
    }

    /// `VFIO_TYPE1_IOMMU`, `VFIO_TYPE1v2_IOMMU`, `VFIO_DMA_CC_IOMMU`, `VFIO_UNMAP_ALL`
    private static func has(extension number: UInt64) -> Bool { [1, 3, 4, 9].contains(number) }

    private func ioasOfOldCalls() throws(Refusal) -> UInt32 {
        guard let compatIOAS else { throw Refusal(ENODEV) }
        return compatIOAS
    }

    /// `VFIO_IOMMU_GET_INFO`, without capabilities: pages of 4096 bytes and their blocks.
    private func oldInformation(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 24, minimum: 16)
        _ = try ioasOfOldCalls()
        argument[word32: 0] = 24
        argument[word32: 4] = 1
        argument[word64: 8] = 0x4020_1000
        argument[word32: 16] = 0
        try argument.respond()
    }

    /// `VFIO_IOMMU_MAP_DMA`
    private func oldMap(_ call: ControlCall) throws(Refusal) {
        let argument = try IOCTLArgument(vfio: call.memory, call.address, size: 32, minimum: 32)
        let flags = argument[word32: 4]
        guard flags & ~3 == 0, flags != 0 else { throw Refusal(EINVAL) }
        // Their bits are read 1, write 2; iommufd's, fixed 1, writable 2, readable 4.
        _ = try map(
            pages: argument[word64: 8], of: call.memory.call, length: argument[word64: 24], ioas: try ioasOfOldCalls(),
            iova: argument[word64: 16], flags: 1 | flags & 2 | (flags & 1) << 2)
    }

    /// `VFIO_IOMMU_UNMAP_DMA`, also of everything; dirty bitmaps went with the old driver.
    private func oldUnmap(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 24, minimum: 24)
        let isAll = argument[word32: 4] & 2 != 0
        guard argument[word32: 4] & ~3 == 0 else { throw Refusal(EINVAL) }
        guard argument[word32: 4] & 1 == 0 else { throw .missing("VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP", EOPNOTSUPP) }
        guard !isAll || (argument[word64: 8] == 0 && argument[word64: 16] == 0) else { throw Refusal(EINVAL) }
        do throws(Refusal) {
            argument[word64: 16] = try unmap(
                ioas: try ioasOfOldCalls(), iova: argument[word64: 8],
                length: isAll ? .max : argument[word64: 16])
        } catch  where error.errno == ENOENT {
            // As the old driver: nothing was there.
            argument[word64: 16] = 0
        }
        try argument.respond()
    }
}
