import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// Dirty tracking. The kernel stops at a hole and calls that success, so holes are looked for first.
extension KernelContext {
    private static let enable: UInt32 = 1
    private static let noClear: UInt32 = 1

    private func trackedHWPT(_ id: ObjectID) throws(IOMMUError) -> KernelHWPT {
        let hwpt = try table.object(id, .hwpt, as: KernelHWPT.self)
        guard !hwpt.isNested else { throw ObjectTable.unknown(id, .hwpt) }
        guard hwpt.flags.contains(.dirtyTracking) else { throw Self.noDirtyTracking(id) }
        return hwpt
    }

    private static func noDirtyTracking(_ id: ObjectID) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .noDirtyTracking, "hwpt \(id) was not allocated for dirty tracking",
            hint: "allocate it with the flag dirty_tracking", ["hwpt": .number(UInt64(id))])
    }

    package func setDirtyTracking(hwpt id: ObjectID, enabled: Bool) throws(IOMMUError) {
        _ = try trackedHWPT(id)
        let handle = try handle()
        var argument = clinux_iommu_hwpt_set_dirty_tracking()
        (argument.hwpt_id, argument.flags) = (id, enabled ? Self.enable : 0)
        do throws(KernelFailure) {
            try handle.perform(IOMMUFD.hwptSetDirtyTracking, &argument)
        } catch {
            throw error.refusal { $0 == .EOPNOTSUPP ? Self.noDirtyTracking(id) : nil }
                .with("hwpt", .number(UInt64(id)))
        }
    }

    package func dirtyBitmap(
        hwpt id: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64) {
        let hwpt = try trackedHWPT(id)
        let bytes = try checked(request, hwpt)
        let handle = try handle()
        // The kernel writes whole words.
        var words = [UInt64](repeating: 0, count: (bytes + 7) / 8)
        var argument = clinux_iommu_hwpt_get_dirty_bitmap()
        (argument.hwpt_id, argument.flags) = (id, request.clear ? 0 : Self.noClear)
        (argument.iova, argument.length, argument.page_size) = (request.iova, request.length, request.pageSize)
        var failure: KernelFailure?
        words.withUnsafeMutableBytes { buffer in
            argument.data = UInt64(UInt(bitPattern: buffer.baseAddress))
            do throws(KernelFailure) { try handle.perform(IOMMUFD.hwptGetDirtyBitmap, &argument) } catch {
                failure = error
            }
        }
        if let failure { throw refusal(failure, of: request, hwpt) }
        let dirty = words.reduce(UInt64(0)) { $0 &+ UInt64($1.nonzeroBitCount) }
        return (words.withUnsafeBytes { Array($0.prefix(bytes)) }, dirty)
    }

    /// - Returns: bytes of the bitmap.
    private func checked(_ request: DirtyRequest, _ hwpt: KernelHWPT) throws(IOMMUError) -> Int {
        let ioas = hwpt.ioas
        func refusal(_ errno: Errno, _ reason: Reason, _ message: String, hint: String? = nil) -> IOMMUError {
            ioas.refusal(errno, reason, message, request.iova, request.length, hint: hint)
                .with("hwpt", .number(UInt64(hwpt.id))).with("page_size", .hex(request.pageSize))
        }
        guard request.pageSize.nonzeroBitCount == 1 else {
            throw refusal(
                .EINVAL, .badPageSize, "page_size \(hexadecimal(request.pageSize)) is no power of two",
                hint: "give that of a page, such as 0x1000")
        }
        guard request.length > 0, (request.iova | request.length) & (request.pageSize - 1) == 0 else {
            throw refusal(
                .EINVAL, .misaligned, "the range at \(hexadecimal(request.iova)) is not whole pages of page_size",
                hint: "give whole ones")
        }
        guard let range = AddressRange(start: request.iova, length: request.length) else {
            throw refusal(
                .EOVERFLOW, .iovaOverflow, "the range at \(hexadecimal(request.iova)) wraps",
                hint: "keep iova + length within 64 bits")
        }
        let bytes = (request.length / request.pageSize - 1) / 8 + 1
        guard bytes <= store.limits.transfer else {
            throw refusal(
                .EMSGSIZE, .transferTooLarge,
                "the bitmap of the range at \(hexadecimal(request.iova)) has more than \(store.limits.transfer) bytes",
                hint: "ask for less at a time, or for larger pages")
        }
        let alignment = try iovaRanges(ioas: ioas.id).alignment
        guard (request.iova | request.length) & (alignment - 1) == 0 else {
            throw refusal(
                .EINVAL, .misaligned, "the range at \(hexadecimal(request.iova)) is no multiple of \(alignment) bytes",
                hint: "page_size may be smaller; ioas.iova_ranges tells the alignment"
            ).with("alignment", .hex(alignment))
        }
        guard ioas.areas.pieces(start: range.start, last: range.last) != nil else {
            throw refusal(
                .EINVAL, .notMapped, "part of the range at \(hexadecimal(request.iova)) is not mapped",
                hint: "ask for each mapping of its own; ioas.mappings lists them")
        }
        return Int(bytes)
    }

    private func refusal(_ failure: KernelFailure, of request: DirtyRequest, _ hwpt: KernelHWPT) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EOPNOTSUPP: return Self.noDirtyTracking(hwpt.id)
            case .EOVERFLOW:
                return hwpt.ioas.refusal(
                    .EOVERFLOW, .iovaOverflow, "the range at \(hexadecimal(request.iova)) wraps", request.iova,
                    request.length, hint: "keep iova + length within 64 bits")
            default: return nil
            }
        }.with("hwpt", .number(UInt64(hwpt.id)))
    }
}
