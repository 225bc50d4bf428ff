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
        let target = DirtyRequest.Target(
            hwpt: id, ioas: hwpt.ioas.id, alignment: try iovaRanges(ioas: hwpt.ioas.id).alignment,
            areas: hwpt.ioas.areas)
        let bytes = Int(try request.bitmapBytes(of: target, atMost: store.limits.transfer))
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

    private func refusal(_ failure: KernelFailure, of request: DirtyRequest, _ hwpt: KernelHWPT) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EOPNOTSUPP: return Self.noDirtyTracking(hwpt.id)
            case .EOVERFLOW: return .wrapping(request.iova, length: request.length)
            default: return nil
            }
        }.with("hwpt", .number(UInt64(hwpt.id)))
    }
}
