import IOMMU
import IOMMUObjects
import LinuxIO

/// What an errno of the kernel means for mappings: the facts are looked up once it has refused, so that a call that
/// works costs nothing for them.
extension KernelContext {
    func refusal(
        _ failure: KernelFailure, of request: MapRequest, in ioas: KernelIOAS,
        beside made: [(MapRequest, UInt64)] = []
    ) -> IOMMUError {
        let wanted = Wanted(iova: request.iova, length: request.length, offset: request.offset)
        return refusal(failure, wanted, in: ioas) {
            made.first { overlaps($0, wanted) }.map { ($0.1, $0.0.length) }
        }
    }

    func refusal(
        _ failure: KernelFailure, of copy: KernelHandle.Copy, _ pieces: [Area], from source: KernelIOAS,
        in destination: KernelIOAS
    ) -> IOMMUError {
        if failure.errno == Errno.EPERM.rawValue {
            let piece = pieces.first { !$0.isSourceWritable }
            return source.refusal(
                .EPERM, .copyAddsWrite, "ioas \(source.id) has it mapped for reading: it cannot be copied as writable",
                piece?.start ?? copy.sourceIOVA, piece?.length ?? copy.length, hint: "copy it with access read")
        }
        let wanted = Wanted(iova: copy.iova, length: copy.length, offset: pieces.first?.offset ?? 0)
        return refusal(failure, wanted, in: destination) { nil }
    }

    /// A mapping that was asked for.
    private struct Wanted {
        let iova: UInt64?
        let length: UInt64
        let offset: UInt64
    }

    private func overlaps(_ made: (MapRequest, UInt64), _ wanted: Wanted) -> Bool {
        guard let iova = wanted.iova else { return false }
        return made.1 <= iova &+ (wanted.length &- 1) && iova <= made.1 &+ (made.0.length &- 1)
    }

    /// - Parameter beside: another mapping in the way, of the same call.
    private func refusal(
        _ failure: KernelFailure, _ wanted: Wanted, in ioas: KernelIOAS,
        beside: () -> (iova: UInt64, length: UInt64)?
    ) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EEXIST:
                let iova = wanted.iova ?? 0
                let known = ioas.areas.firstOverlap(start: iova, last: iova &+ (wanted.length &- 1))
                guard let other = beside() ?? known.map({ ($0.start, $0.length) }) else { return nil }
                return ioas.refusal(
                    .EEXIST, .alreadyMapped,
                    "the range overlaps the mapping of \(other.length) bytes at \(hexadecimal(other.iova))", iova,
                    wanted.length, hint: "unmap that first"
                ).with("mapping_iova", .hex(other.iova)).with("mapping_length", .hex(other.length))
            case .ENOSPC:
                return IOMMUError(
                    .ENOSPC, .noFreeIOVA,
                    "no free range of \(wanted.length) bytes is left in the allowed IOVAs of ioas \(ioas.id)",
                    hint: "ioas.iova_ranges and ioas.mappings show what is taken; ioas.allow_iovas narrows the choice",
                    ["ioas": .number(UInt64(ioas.id)), "length": .hex(wanted.length)])
            case .EOVERFLOW:
                return ioas.refusal(
                    .EOVERFLOW, .iovaOverflow, "the range at \(hexadecimal(wanted.iova ?? 0)) wraps", wanted.iova ?? 0,
                    wanted.length, hint: "keep iova + length within 64 bits")
            case .EINVAL: return shapeRefusal(wanted, in: ioas)
            default: return nil
            }
        }.with("ioas", .number(UInt64(ioas.id)))
    }

    /// What is wrong with the shape or the place of a mapping; nil if it looks right.
    private func shapeRefusal(_ wanted: Wanted, in ioas: KernelIOAS) -> IOMMUError? {
        let iova = wanted.iova ?? 0
        guard wanted.length > 0 else {
            return ioas.refusal(
                .EINVAL, .zeroLength, "the range at \(hexadecimal(iova)) has no bytes", iova, wanted.length,
                hint: "give a length of at least one byte")
        }
        guard let facts = try? iovaRanges(ioas: ioas.id) else { return nil }
        let misaligned = (iova | wanted.length | wanted.offset) & (facts.alignment - 1)
        guard misaligned == 0 else {
            return ioas.refusal(
                .EINVAL, .misaligned,
                "iova \(hexadecimal(iova)), length or offset is no multiple of \(facts.alignment) bytes",
                iova, wanted.length, hint: "ioas.iova_ranges tells the alignment"
            ).with("alignment", .hex(facts.alignment))
        }
        guard wanted.iova != nil, let range = AddressRange(start: iova, length: wanted.length),
            !facts.ranges.contains(where: { $0.contains(range) })
        else { return nil }
        return reserved(range, in: ioas)
    }

    private func reserved(_ range: AddressRange, in ioas: KernelIOAS) -> IOMMUError {
        let error = ioas.refusal(
            .EINVAL, .iovaReserved, "the range at \(hexadecimal(range.start)) meets IOVAs that cannot be mapped",
            range.start, range.length,
            hint: "ioas.iova_ranges lists what is usable")
        for device in attachedDevices(of: ioas) {
            let facts = backend.inventory.device(named: device.name)
            guard let region = facts?.unusableRegions.first(where: { $0.range.overlaps(range) }) else { continue }
            return error.with("region_start", .hex(region.range.start)).with("region_last", .hex(region.range.last))
                .with("region_type", .text(region.kind.rawValue)).with("region_device", .text(device.name))
        }
        return error.with("region_type", .text("outside_aperture"))
    }

    func refusal(_ failure: KernelFailure, ofAllowing ranges: [AddressRange], ioas id: ObjectID) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EINVAL:
                return IOMMUError(
                    .EINVAL, .badAllowedRanges,
                    "one of \(ranges.count) ranges for ioas \(id) has one byte, or overlaps",
                    hint: "allow ranges of more than one byte that do not overlap each other")
            case .EADDRINUSE:
                let usable = (try? iovaRanges(ioas: id))?.ranges ?? []
                let range = ranges.first { range in !usable.contains { $0.contains(range) } }
                return IOMMUError(
                    .EADDRINUSE, .allowedRangeReserved,
                    "the range from \(hexadecimal(range?.start ?? 0)) meets IOVAs that a device reserves",
                    hint: "ioas.iova_ranges lists what is usable",
                    ["start": .hex(range?.start ?? 0), "last": .hex(range?.last ?? 0)])
            default: return nil
            }
        }.with("ioas", .number(UInt64(id)))
    }
}

extension KernelIOAS {
    func refusal(
        _ errno: Errno, _ reason: Reason, _ message: String, _ iova: UInt64, _ length: UInt64, hint: String
    ) -> IOMMUError {
        IOMMUError(
            errno, reason, message, hint: hint,
            ["ioas": .number(UInt64(id)), "iova": .hex(iova), "length": .hex(length)])
    }
}
